"""Networks side by side: one option file in, a JSON per network and test set, a Markdown and an HTML page out.

``options`` checks the file, ``testsets`` makes images of it, ``networks`` models, ``evaluate`` a JSON of one network on
one set, ``cost`` parameters, MACs, latency and memory; ``tables``, ``curve`` and ``crops`` turn these into what
``markdown`` and ``page`` print. ``stea-compare -opt FILE`` runs it.
"""
