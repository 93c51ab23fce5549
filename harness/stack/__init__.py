"""Make one run: engine, images, containers. The only layer that knows Docker."""
