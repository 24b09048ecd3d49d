"""Where records go: an LMDB in BasicSR's layout, or a folder of files. Both can be continued after a kill.

NAME.lmdb/data.mdb, lock.mdb    key: the name without extension; value: the encoded file
NAME.lmdb/meta_info.txt         a line ``name.png (h,w,c) level`` for each image
NAME.lmdb/checksums.txt         a line ``sha256  key`` for each

NAME/*.png                      the files, nothing else that is not hidden: BasicSR pairs folders by their listing
NAME/.checksums.txt             a line ``sha256  name`` for each: sha256sum -c .checksums.txt
"""

import os
import shutil
from contextlib import contextmanager

import lmdb

from data_prep.journal import Journal
from data_prep.output import write_whole
from data_prep.record import checksum
from stea_arch.data.image_io import stem
from stea_arch.data.lmdb_store import needed_length
from stea_arch.data.meta_info import read_meta_info

JOURNAL = '.journal'
LMDB_CHECKSUMS, FOLDER_CHECKSUMS = 'checksums.txt', '.checksums.txt'
BATCH_BYTES = 16 << 20  # written and made safe together: what a kill can cost
PAGE = 4096


class _Sink:
    """Collects the records of some sources, stores them together, then notes them in the journal.

    Args:
        part (Path): Folder to write into.
        stamps (dict[str, list]): Source name -> its present state. Whatever else an earlier run stored is removed.
        expected_bytes (int): Rough size of all records.
    """

    def __init__(self, part, stamps, expected_bytes):
        self.part, self.pending, self.pending_bytes = part, [], 0
        self.journal = Journal(part / JOURNAL, stamps)
        self.open(expected_bytes)
        for source in [source for source in self.done if not all(map(self.holds, self.journal.records([source])))]:
            del self.done[source]
        self.keep_only({name for name, *_ in self.journal.records(self.done)})

    @property
    def done(self):
        """Names of the sources that are stored."""
        return self.journal.done

    def put(self, source, records):
        """Take all records of one source image."""
        self.pending.append((source, records))
        self.pending_bytes += sum(len(record.data) for record in records)
        if self.pending_bytes >= BATCH_BYTES:
            self.flush()

    def flush(self):
        """Store what is pending; returns when it would survive a kill."""
        self.store([record for _, records in self.pending for record in records])
        self.journal.add(
            (source, [[record.name, record.shape, record.level, record.digest] for record in records])
            for source, records in self.pending
        )
        self.pending, self.pending_bytes = [], 0

    def finish(self, sources):
        """Write the lists in the order of ``sources``.

        Returns:
            int: The number of records.
        """
        self.flush()
        records = self.journal.records(sources)
        count = write_whole(
            self.part / self.checksums, (f'{digest}  {self.label(name)}\n' for name, _, _, digest in records)
        )
        self.write_meta_info(self.journal.records(sources))
        return count


class LmdbSink(_Sink):
    """Into ``data.mdb``, in transactions that are whole or not there."""

    checksums = LMDB_CHECKSUMS
    label = staticmethod(stem)

    def open(self, expected_bytes):
        data = self.part / 'data.mdb'
        if data.exists() and data.stat().st_size < needed_length(data):
            raise OSError(
                f'What an interrupted run has left in {self.part} is damaged: its data.mdb was cut short. Remove that '
                'folder and start the same command again.'
            )
        with self._explained():
            self.env = lmdb.open(str(self.part), map_size=_map_size(expected_bytes))

    def store(self, records):
        def put_all(txn):
            for record in records:
                txn.put(record.key.encode(), record.data)

        self._write(put_all)

    def holds(self, record):
        with self._explained(), self.env.begin(buffers=True) as txn:
            return txn.get(stem(record[0]).encode()) is not None

    def keep_only(self, names):
        keys = {stem(name).encode() for name in names}

        def delete_others(txn):
            for key in [bytes(key) for key in txn.cursor().iternext(values=False)]:
                if key not in keys:
                    txn.delete(key)

        self._write(delete_others)

    def _write(self, change):
        """``change(txn)`` in a transaction of its own, enlarging the map as often as it does not fit."""
        while True:
            try:
                with self._explained(), self.env.begin(write=True) as txn:
                    change(txn)
                return
            except lmdb.MapFullError:
                self.env.set_mapsize(self.env.info()['map_size'] * 2)

    @contextmanager
    def _explained(self):
        """Errors of lmdb, but for a map that can grow, as an OSError that says what to do."""
        try:
            yield
        except lmdb.MapFullError:
            raise
        except lmdb.Error as error:
            free = shutil.disk_usage(self.part).free
            raise OSError(
                f'An LMDB could not be written in {self.part}: {error} ({free / 1e6:,.0f} MB are free there). What was '
                'written before is kept. Make room if the disk is full; choose a local disk by --out if this one '
                'cannot map files into memory; remove that folder if its data.mdb is damaged. Then start the same '
                'command again.'
            ) from error

    def write_meta_info(self, records):
        records = list(records)
        lines = (f'{name} ({h},{w},{c}) {level}\n' for name, (h, w, c), level, _ in records)
        write_whole(self.part / 'meta_info.txt', lines)
        expected = {name: tuple(shape) for name, shape, *_ in records}
        if records and read_meta_info(self.part / 'meta_info.txt') != expected:
            raise ValueError(
                f'{self.part}/meta_info.txt does not read back as it was written, so nothing could read the LMDB: an '
                'image has a name that the list cannot hold. Give the images plain names.'
            )

    def close(self):
        self.env.close()
        data = self.part / 'data.mdb'
        if data.stat().st_size < (length := needed_length(data)):  # pages at the end were never used, nor written
            os.truncate(data, length)
        self.journal.close()


class FolderSink(_Sink):
    """Into files."""

    checksums = FOLDER_CHECKSUMS
    label = staticmethod(str)

    def open(self, expected_bytes):
        pass

    def store(self, records):
        for record in records:
            path = self.part / record.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(record.data)

    def holds(self, record):
        name, *_, digest = record
        try:
            return checksum((self.part / name).read_bytes()) == digest
        except OSError:
            return False

    def keep_only(self, names):
        for path in self.part.rglob('[!.]*'):
            if path.is_file() and path.relative_to(self.part).as_posix() not in names:
                path.unlink()

    def write_meta_info(self, records):
        pass  # BasicSR would take a text file among the images for one of them

    def finish(self, sources):
        count = super().finish(sources)
        os.sync()  # before the result has its name; until then each file is compared with its digest
        return count

    def close(self):
        self.journal.close()


def sink_for(target):
    """The kind of sink that a name asks for: an LMDB if it ends in .lmdb, else a folder."""
    return LmdbSink if str(target).endswith('.lmdb') else FolderSink


def _map_size(expected_bytes):
    """A quarter more than expected, in whole pages."""
    return -(-expected_bytes * 5 // 4 // PAGE) * PAGE + 64 * PAGE
