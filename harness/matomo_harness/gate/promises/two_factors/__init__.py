"""Two factors for everybody: without the second one gets nowhere but to its enrolment."""
