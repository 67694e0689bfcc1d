"""`python -m hpsearch`: the command line."""

from hpsearch.cli.main import main

if __name__ == "__main__":
    main()
