"""A package, so that type checkers do not take argon2.py for the package that it imports."""
