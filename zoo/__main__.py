"""`python -m zoo`, which torchrun and `accelerate launch` start."""

from zoo.cli import main

if __name__ == "__main__":
    main()
