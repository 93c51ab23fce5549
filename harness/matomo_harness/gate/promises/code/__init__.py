"""Code: all code that runs is the image's, and the image's Matomo is its base's."""
