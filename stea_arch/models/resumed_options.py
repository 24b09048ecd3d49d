"""A resumed run follows its option file: what was changed there counts from then on, and is said."""

import warnings

import torch
from basicsr.utils import get_root_logger

# of a parameter group: what no option file says, and the rate of the moment, which the schedule makes of initial_lr
NOT_WRITTEN = ('params', 'lr', 'fused', 'foreach', 'capturable', 'differentiable')
PROGRESS = ('last_epoch', '_step_count', '_last_lr', '_get_lr_called_within_step', '_is_initial', 'base_lrs')


def follow_options(optimizer, scheduler, saved, groups, schedule):
    """Give what a training state brought back the settings of the option file again; moments and progress stay.

    Args:
        optimizer (Optimizer), scheduler (LRScheduler): With the state loaded.
        saved (dict): The scheduler's state as it was loaded.
        groups (list[dict]): The optimiser's parameter groups as the option file made them.
        schedule (dict): The scheduler's state as the option file made it.
    """
    changes = []
    for group, written in zip(optimizer.param_groups, groups):
        for key in sorted({*written} - {*NOT_WRITTEN}):
            if group.get(key) != written[key]:
                changes.append((key.removeprefix('initial_'), group.get(key), written[key]))
                group[key] = written[key]
        for state in (optimizer.state[p] for p in group['params'] if group.get('amsgrad') and p in optimizer.state):
            state.setdefault('max_exp_avg_sq', torch.zeros_like(state['exp_avg_sq']))  # the maximum from here on
    if {*saved} - {*PROGRESS} != {*schedule} - {*PROGRESS}:
        moved = [('scheduler', 'one of another kind', type(scheduler).__name__)]
    else:
        settings = sorted({*schedule} - {*PROGRESS})
        moved = [(key, saved[key], schedule[key]) for key in settings if saved[key] != schedule[key]]
    for name, before, now in dict.fromkeys(map(_as_text, changes + moved)):
        get_root_logger().warning(
            f'{name} of {type(optimizer).__name__} was {before} when the state was saved, and is {now} in the option '
            'file, which counts from here on.'
        )
    if moved or any(name == 'lr' for name, *_ in changes):
        _replay(optimizer, scheduler, schedule, scheduler.last_epoch)


def _as_text(change):
    name, *values = change
    return name, *(str(sorted(value.elements()) if hasattr(value, 'elements') else value) for value in values)


def _replay(optimizer, scheduler, schedule, steps):
    """The learning rate that the schedule has after so many steps; some schedules only know the next from the last."""
    for name in {*vars(scheduler)} - {*schedule, 'optimizer'}:
        if name in scheduler.state_dict():
            delattr(scheduler, name)  # of a schedule of another kind
    scheduler.load_state_dict(schedule)
    scheduler.base_lrs = [group['initial_lr'] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group['lr'] = group['initial_lr']
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # that steps of the optimiser should lie between
        for _ in range(steps):
            scheduler.step()
