"""python -m augury."""

from augury.cli.commands import main

if __name__ == "__main__":
    main()
