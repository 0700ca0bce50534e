"""`python -m deeplift_cli` is the `deeplift` command."""

from deeplift_cli.main import main

if __name__ == "__main__":
    main()
