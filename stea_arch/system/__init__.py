"""The machine underneath: files, memory, processes, libraries and versions."""
