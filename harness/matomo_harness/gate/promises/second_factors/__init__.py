"""Second factors: nobody gets in without one, and who has one gets in by its codes alone."""
