"""Arguments of registered classes and functions that a signature's default value does not tell the kind of."""

from stea_arch.options.kinds import (
    Kind,
    choice,
    count,
    fraction,
    integer,
    mapping,
    number,
    optional,
    positive,
    sequence,
)

ARGUMENTS = {
    'LabNet': {
        'num_feat': Kind('a multiple of 16', lambda v: integer(16).accepts(v) and v % 16 == 0),
        'num_blocks': sequence(integer(1), length=6),
        'upscale': choice(2, 3, 4),
        'attention': choice('stea', 'ttea', 'taylor', 'softmax', 'none'),
        'dilations': sequence(integer(1)),
        'taylor_order': choice(1, 2, 3),
        'num_heads': integer(1),
        'key_dim': integer(1),
        'init_scale': positive(),
    },
    'RealNet': {'streams': choice(1, 2), **{name: optional(number(0, 1.5)) for name in ('deblur', 'denoise')}},
    'Bicubic': {'upscale': integer(1)},
    'EDSR': {'upscale': choice(2, 3, 4, 8)},
    'RCAN': {'upscale': choice(2, 3, 4, 8)},
    'RRDBNet': {'scale': choice(1, 2, 4)},
    'MultiStepRestartLR': {
        'milestones': sequence(count(1)),
        'gamma': positive(),
        'restarts': sequence(count(0)),
        'restart_weights': sequence(number(0)),
    },
    'CosineAnnealingRestartLR': {
        'periods': sequence(count(1)),
        'restart_weights': sequence(number(0)),
        'eta_min': number(0),
    },
    'Adam': {'lr': positive(), 'betas': sequence(fraction(), length=2), 'weight_decay': number(0)},
    'PerceptualLoss': {'layer_weights': mapping(), 'criterion': choice('l1', 'fro')},
    'GANLoss': {'gan_type': choice('vanilla', 'lsgan', 'wgan', 'wgan_softplus', 'hinge')},
}
ARGUMENTS['AdamW'] = ARGUMENTS['Adam']
SHARED = ('num_feat', 'num_blocks', 'upscale', 'attention', 'init_scale')
ARGUMENTS['RealNet'] |= {name: ARGUMENTS['LabNet'][name] for name in SHARED}
COMMON_ARGUMENTS = {
    'num_in_ch': integer(1),
    'num_out_ch': integer(1),
    'num_feat': integer(1),
    'num_block': integer(0),
    'crop_border': integer(0),
    'loss_weight': number(0),
    'rgb_mean': sequence(number(), length=3),
    'input_order': choice('HWC', 'CHW'),
    'better': choice('higher', 'lower'),
    'convert_to': choice('y', 'gray'),
}
# Arguments that only some values of another one read: {network: {argument: (the other, the values)}}
READ_WITH = {
    'LabNet': {
        'taylor_order': ('attention', ('taylor',)),
        'num_heads': ('attention', ('taylor', 'softmax')),
        'key_dim': ('attention', ('taylor', 'softmax')),
        'dilations': ('large_field', (True,)),
    },
    'RealNet': {'deblur': ('streams', (2,)), 'denoise': ('streams', (2,))},
}
WITHOUT_TRAINING = ('Bicubic',)  # networks without a parameter
