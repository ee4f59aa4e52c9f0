"""What a server of a trained model decides without Ray: who may ask, what may be asked, and what is the answer."""
