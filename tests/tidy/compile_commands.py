"""Prints compile_commands.json for editors: compile_commands.py 'FLAGS' FILE…"""

import json
import os
import sys

if __name__ == "__main__":
    flags, files = sys.argv[1], sys.argv[2:]
    entries = [{"directory": os.getcwd(), "file": name, "command": f"cc {flags} -c {name}"} for name in files]
    json.dump(entries, sys.stdout, indent=1)
