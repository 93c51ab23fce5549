"""Second factors: nobody gets in without one, and whoever has one needs a code of it."""
