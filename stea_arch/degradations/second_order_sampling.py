"""Parameters of the second-order degradation, and how they are drawn.

What a batch shares and what each sample has of its own is as in BasicSR's RealESRGANModel: whether a step takes
place, the kind of noise, the size and mode of each resize, the order of the last two steps and the place of the crop
are drawn once a batch; noise level, gray or colour, and JPEG quality once a sample (and the kernels, by the dataset).
"""

from dataclasses import dataclass, fields

from stea_arch.degradations.checks import (
    BadArgument,
    check_probability,
    check_range,
    check_scale,
    check_side,
    check_weights,
)

MODES = ('area', 'bilinear', 'bicubic')
RECIPES = {  # by name: what is fixed, whatever the options say
    'full': {},
    'blur_jpeg': {'resize_prob': (0, 0, 1), 'resize_prob2': (0, 0, 1), 'noise_prob': 0, 'noise_prob2': 0},
}


@dataclass(frozen=True)
class NoiseParams:
    """Noise of one pass.

    Attributes:
        kind (str): 'gaussian' or 'poisson'.
        levels (tuple[float]): For each sample: sigma in 8-bit steps, or the factor by which shot noise is scaled.
        gray (tuple[bool]): For each sample: the same noise in all three channels.
        seed (int): Seed of the random fields.
    """

    kind: str
    levels: tuple
    gray: tuple
    seed: int


@dataclass(frozen=True)
class PassParams:
    """One of the two passes: blur, resize, noise, JPEG.

    Attributes:
        blur (bool): Whether the pass's kernels are applied.
        factor (float): Of the resize. First pass: new size over old; second: new size over that of the result.
        mode (str): Of the resize: 'area', 'bilinear' or 'bicubic'.
        noise (NoiseParams | None): None for no noise.
        qualities (tuple[float] | None): JPEG quality of each sample, in (0, 100]; None for no JPEG.
    """

    blur: bool
    factor: float
    mode: str
    noise: NoiseParams | None
    qualities: tuple | None

    @classmethod
    def from_dict(cls, values):
        """The pass that ``dataclasses.asdict`` made ``values`` of."""
        noise, qualities = values['noise'], values['qualities']
        if noise:
            noise = NoiseParams(noise['kind'], tuple(noise['levels']), tuple(noise['gray']), noise['seed'])
        return cls(**{**values, 'noise': noise, 'qualities': qualities and tuple(qualities)})


@dataclass(frozen=True)
class SecondOrderParams:
    """Everything besides the kernels that :func:`stea_arch.degradations.second_order.degrade` needs for a batch.

    ``json.dumps(dataclasses.asdict(params))`` logs it, ``SecondOrderParams.from_dict(json.loads(text))`` brings it
    back.

    Attributes:
        scale (int): Size of the ground truth over that of the result.
        first (PassParams), second (PassParams): The two passes.
        final_mode (str): Mode of the resize to the result's size.
        jpeg_last (bool): The second JPEG after that resize and the final sinc, or before them.
        gt_size (int): Side of the ground-truth patch that is cut out afterwards.
        top (float), left (float): Where it starts, in [0, 1) of the possible positions.
    """

    scale: int
    first: PassParams
    second: PassParams
    final_mode: str
    jpeg_last: bool
    gt_size: int
    top: float
    left: float

    @classmethod
    def from_dict(cls, values):
        """The parameters that ``dataclasses.asdict`` made ``values`` of."""
        passes = {name: PassParams.from_dict(values[name]) for name in ('first', 'second')}
        return cls(**{**values, **passes})


@dataclass(frozen=True)
class SecondOrderSampler:
    """Draws :class:`SecondOrderParams`; Real-ESRGAN's ranges are the defaults, the names are those of BasicSR.

    Every step can be switched off: blur by blur_prob and second_blur_prob 0, resize by [0, 0, 1], noise by noise_prob
    0, JPEG by jpeg_prob 0, the final sinc by the dataset's final_sinc_prob 0. The recipe ``blur_jpeg`` does so for
    noise and random resize, whatever their options say: blur, JPEG, blur, to the result's size, and final sinc and
    JPEG in either order.

    Args:
        scale (int): 2, 3 or 4.
        recipe (str): 'full', or 'blur_jpeg', which leaves out noise and random resizes.
        blur_prob (float): Probability of the first blur.
        resize_prob (list[float]): Weights of enlarging, shrinking, keeping the size.
        resize_range (list[float]): Smallest and largest factor; 1 lies between.
        noise_prob (float): Probability of noise.
        gaussian_noise_prob (float): Probability that noise is Gaussian; else it is Poisson noise.
        noise_range (list[float]): Lowest and highest sigma of Gaussian noise, in 8-bit steps.
        poisson_scale_range (list[float]): Lowest and highest scale of Poisson noise; 1 is shot noise.
        gray_noise_prob (float): Probability that a sample's noise is gray.
        jpeg_prob (float): Probability of JPEG.
        jpeg_range (list[float]): Lowest and highest quality, above 0, to 100.
        second_blur_prob (float): Probability of the second blur.
        resize_prob2 and so on: The same for the second pass.

    Raises:
        ValueError: A value outside of these bounds; the message names it.
    """

    scale: int
    recipe: str = 'full'
    blur_prob: float = 1.0
    resize_prob: tuple = (0.2, 0.7, 0.1)
    resize_range: tuple = (0.15, 1.5)
    noise_prob: float = 1.0
    gaussian_noise_prob: float = 0.5
    noise_range: tuple = (1.0, 30.0)
    poisson_scale_range: tuple = (0.05, 3.0)
    gray_noise_prob: float = 0.4
    jpeg_prob: float = 1.0
    jpeg_range: tuple = (30.0, 95.0)
    second_blur_prob: float = 0.8
    resize_prob2: tuple = (0.3, 0.4, 0.3)
    resize_range2: tuple = (0.3, 1.2)
    noise_prob2: float = 1.0
    gaussian_noise_prob2: float = 0.5
    noise_range2: tuple = (1.0, 25.0)
    poisson_scale_range2: tuple = (0.05, 2.5)
    gray_noise_prob2: float = 0.4
    jpeg_prob2: float = 1.0
    jpeg_range2: tuple = (30.0, 95.0)

    @classmethod
    def from_options(cls, opt, scale):
        """The sampler that the top level of an option file describes; missing or None: the default. Others: ignored."""
        names = [field.name for field in fields(cls) if field.name != 'scale']
        return cls(scale, **{name: opt[name] for name in names if opt.get(name) is not None})

    def __post_init__(self):
        check_scale(self.scale)
        if self.recipe not in RECIPES:
            raise BadArgument('recipe', f'must be one of {", ".join(RECIPES)}, got {self.recipe!r}.')
        for name, value in RECIPES[self.recipe].items():
            object.__setattr__(self, name, value)
        for suffix in ('', '2'):
            self._replace(f'resize_prob{suffix}', check_weights, 3)
            for name, above_zero in (('resize', True), ('noise', False), ('poisson_scale', False), ('jpeg', True)):
                self._replace(f'{name}_range{suffix}', check_range, above_zero)
            low, high = getattr(self, f'resize_range{suffix}')
            if not low <= 1 <= high:
                raise BadArgument(
                    f'resize_range{suffix}',
                    f'must have 1 between its ends, got [{low}, {high}]: below 1 images shrink.',
                )
            quality = getattr(self, f'jpeg_range{suffix}')
            if quality[1] > 100:
                raise BadArgument(f'jpeg_range{suffix}', f'must end at 100 at most, got {list(quality)}.')
            for name in ('noise_prob', 'gaussian_noise_prob', 'gray_noise_prob', 'jpeg_prob'):
                check_probability(name + suffix, getattr(self, name + suffix))
        for name in ('blur_prob', 'second_blur_prob'):
            check_probability(name, getattr(self, name))

    def _replace(self, name, check, more):
        object.__setattr__(self, name, check(name, getattr(self, name), more))

    def draw(self, batch_size, gt_size, rng):
        """Draw the parameters of one batch.

        Args:
            batch_size (int): Number of samples.
            gt_size (int): Side of the ground-truth patch that is left in the end, a multiple of the scale.
            rng (numpy.random.Generator): Source of all numbers; what is drawn of it depends on the outcomes.

        Returns:
            SecondOrderParams: Plain Python numbers only.

        Raises:
            ValueError: gt_size is not a multiple of the scale.
        """
        check_side('gt_size', gt_size, self.scale)
        return SecondOrderParams(
            scale=self.scale,
            first=self._draw_pass(batch_size, rng, '', self.blur_prob),
            second=self._draw_pass(batch_size, rng, '2', self.second_blur_prob),
            final_mode=str(rng.choice(MODES)),
            jpeg_last=bool(rng.random() < 0.5),
            gt_size=gt_size,
            top=rng.random(),
            left=rng.random(),
        )

    def _draw_pass(self, batch_size, rng, suffix, blur_prob):
        def option(name):
            return getattr(self, name + suffix)

        def uniform(name):
            return tuple(rng.uniform(*option(name), batch_size).tolist())

        blur = bool(rng.random() < blur_prob)
        low, high = option('resize_range')
        factor = [rng.uniform(1, high), rng.uniform(low, 1), 1.0][rng.choice(3, p=option('resize_prob'))]
        mode, noise, qualities = str(rng.choice(MODES)), None, None
        if rng.random() < option('noise_prob'):
            gaussian = rng.random() < option('gaussian_noise_prob')
            levels = uniform('noise_range' if gaussian else 'poisson_scale_range')
            gray = tuple((rng.random(batch_size) < option('gray_noise_prob')).tolist())
            noise = NoiseParams('gaussian' if gaussian else 'poisson', levels, gray, int(rng.integers(2**63)))
        if rng.random() < option('jpeg_prob'):
            qualities = uniform('jpeg_range')
        return PassParams(blur, factor, mode, noise, qualities)
