"""Peak memory of one call: in a forked process, which starts with everything loaded and little in use. Linux."""

import multiprocessing

from stea_arch.system.allocator import give_back_memory


def peak_memory():
    """The most bytes that this process had resident since its start, its fork or ``reset_peak``."""
    with open('/proc/self/status', encoding='ascii') as file:
        return int(next(line for line in file if line.startswith('VmHWM')).split()[1]) * 1024


def reset_peak():
    """Give what was freed back to the system, so that its next use is seen, and forget the peak so far. With glibc."""
    give_back_memory()
    with open('/proc/self/clear_refs', 'w', encoding='ascii') as file:
        file.write('5')


def in_a_fork(function, *args):
    """``function(*args)`` computed in a forked process, so that its memory is not that of an earlier call.

    What the parent has freed but not given back would be used again and not be seen: measure before computing there.
    torch must run on one thread, as a fork does not take its others along.
    """
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(function(*args)))
    process.start()
    sender.close()
    result = receiver.recv()
    process.join()
    return result
