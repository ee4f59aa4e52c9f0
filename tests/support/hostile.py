"""Answers that attack their verifier."""

# Compared for half a minute; no limit of the text tells so.
ENDLESS = "(7x+3)^{99}" * 30
