"""Runs Python programs, each in a process of its own: a line [FILE, ARGUMENT...] of JSON on
standard input is answered by a line [STATUS, OUTPUT].

To load python3-fido2 takes seconds on the emulated CPU. Here that is done once, before the
processes part.
"""
import json
import os
import runpy
import sys
import tempfile

import fido2.client, fido2.ctap1, fido2.ctap2, fido2.hid, fido2.server

for line in sys.stdin:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            sys.argv = json.loads(line)
            runpy.run_path(sys.argv[0], run_name="__main__")
            sys.exit()
        _, status = os.waitpid(child, 0)
        output.seek(0)
        answer = os.waitstatus_to_exitcode(status), output.read().decode(errors="replace")
    print(json.dumps(answer), flush=True)
