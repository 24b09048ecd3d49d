"""What is done already: one line of JSON for each source image whose records are safely stored."""

import json
import os


class Journal:
    """A file that only grows, so that a kill costs at most its last line.

    Args:
        path (Path): The file; made when it is not there. A torn last line is cut off.
        stamps (dict[str, list]): Source name -> what tells its present state from others.

    Attributes:
        done (dict[str, int]): Source name -> where its line starts; of sources that have not changed since. Those whose
            records turn out to be lost may be deleted.
    """

    def __init__(self, path, stamps):
        self.file = open(path, 'a+b')  # noqa: SIM115 (open for as long as the journal)
        self.file.seek(0)
        self.done, end = {}, 0
        for line in self.file:
            if not line.endswith(b'\n'):
                break
            self.done[json.loads(line)['source']] = end
            end += len(line)
        self.file.truncate(end)
        self.stamps = stamps
        for source in list(self.done):
            if self._read(source)['stamp'] != stamps.get(source):
                del self.done[source]

    def add(self, entries):
        """Note pairs of a source and its records, lists that start with the name. Returns when they are on the disk."""
        end = self.file.seek(0, os.SEEK_END)
        for source, records in entries:
            line = json.dumps({'source': source, 'stamp': self.stamps[source], 'records': records}).encode() + b'\n'
            self.done[source] = end
            end += self.file.write(line)
        self.file.flush()
        os.fsync(self.file.fileno())

    def records(self, sources):
        """Yield the records of the sources that are done, in the order of ``sources``."""
        for source in sources:
            if source in self.done:
                yield from self._read(source)['records']

    def _read(self, source):
        self.file.seek(self.done[source])
        return json.loads(self.file.readline())

    def close(self):
        self.file.close()
