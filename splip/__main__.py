import sys

from splip.cli import main

sys.exit(main())
