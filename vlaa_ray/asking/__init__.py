"""One question to one model: `local` loads the model itself, `endpoint` asks a server, `reply` reads what comes back.

The texts of a model are foreign: nothing here evaluates them, and `reply.printable` makes them safe for a terminal.
"""
