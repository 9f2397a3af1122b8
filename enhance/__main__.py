"""`python -m enhance`, the same as the command `enhance`."""

from .cli import program

if __name__ == "__main__":
    program()
