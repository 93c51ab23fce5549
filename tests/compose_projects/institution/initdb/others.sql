-- A schema of another program, beside Matomo.
CREATE DATABASE IF NOT EXISTS others;
