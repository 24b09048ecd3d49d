"""What is done already: one line of JSON for each source image whose records are safely stored."""

import json
import os


class Journal:
    """A file that only grows, so that a kill costs at most its last line.

    Args:
        path (Path): The file; made when it is not there. A torn last line is cut off.

    Attributes:
        done (dict[str, int]): Source name -> where its line starts.
    """

    def __init__(self, path):
        self.file = open(path, 'a+b')
        self.file.seek(0)
        self.done, end = {}, 0
        for line in self.file:
            if not line.endswith(b'\n'):
                break
            self.done[json.loads(line)['source']] = end
            end += len(line)
        self.file.truncate(end)

    def add(self, entries):
        """Note sources as done: dictionaries with ``source`` and ``records``. Returns when they are on the disk."""
        self.file.seek(0, os.SEEK_END)
        end = self.file.tell()
        for entry in entries:
            line = json.dumps(entry).encode() + b'\n'
            self.done[entry['source']] = end
            end += self.file.write(line)
        self.file.flush()
        os.fsync(self.file.fileno())

    def records(self, sources):
        """Yield the records of the sources that are done, in the order of ``sources``."""
        for source in sources:
            if source in self.done:
                self.file.seek(self.done[source])
                yield from json.loads(self.file.readline())['records']

    def close(self):
        self.file.close()
