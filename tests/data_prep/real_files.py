"""Images on the disk and in LMDBs by other means than ours, and processes that are killed at a chosen moment."""

import multiprocessing
import os
import signal

import cv2
import lmdb
import numpy as np


def write_image(path, img, *options):
    """Save RGB or gray; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), img if img.ndim == 2 else cv2.cvtColor(img, cv2.COLOR_RGB2BGR), options)
    return path


def read_image(path):
    """RGB or gray, by OpenCV."""
    img = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return img if img.ndim == 2 else cv2.cvtColor(img, cv2.COLOR_BGR2RGB)


def read_lmdb(path):
    """All records of an LMDB by py-lmdb alone: key -> bytes."""
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as txn:
        return {key.decode(): bytes(data) for key, data in txn.cursor()}


def decoded(data):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def exit_code_of(function):
    """Run a function in a forked process."""
    process = multiprocessing.get_context('fork').Process(target=function)
    process.start()
    process.join(60)
    return process.exitcode


def killed(function):
    """Run a function in a forked process, which must die by SIGKILL."""
    assert exit_code_of(function) == -signal.SIGKILL


def kill_me(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
