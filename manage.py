#!/usr/bin/env python
"""Django's command-line entry point for the AI Mesh Network."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshsite.settings")
    if sys.argv[1:2] == ["up"]:  # it starts the database that Django is about to look for
        from meshsite import supervisor

        sys.exit(supervisor.main(sys.argv[2:]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
