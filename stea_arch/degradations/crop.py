"""The same patch out of images of two sizes."""


def paired_crop(lqs, gts, params):
    """Cut the patch that ``params`` describe out of low-quality and ground-truth batches.

    As BasicSR's ``paired_random_crop``: one place for the whole batch, any whole low-quality pixel as likely.

    Args:
        lqs (list[Tensor]): Each (B, C, H / scale, W / scale).
        gts (list[Tensor]): Each (B, C, H, W).
        params (SecondOrderParams): scale, gt_size, top and left are used.

    Returns:
        tuple[list[Tensor], list[Tensor]]: (B, C, gt_size / scale, gt_size / scale) and (B, C, gt_size, gt_size).

    Raises:
        ValueError: Sizes that do not belong together, or images smaller than the patch.
    """
    scale, size = params.scale, params.gt_size // params.scale
    height, width = lqs[0].shape[-2:]
    wrong = [img for img in lqs if img.shape[-2:] != (height, width)]
    wrong += [img for img in gts if img.shape[-2:] != (height * scale, width * scale)]
    if wrong:
        raise ValueError(
            f'Images {scale} times as large as the low-quality ones of {height}x{width} were expected, but one of '
            f'{wrong[0].shape[-2]}x{wrong[0].shape[-1]} came. Pass images of the same batch, before cropping.'
        )
    if size > min(height, width):
        raise ValueError(
            f'Low-quality images of at least {size}x{size} (gt_size {params.gt_size} / scale {scale}) were expected, '
            f'but {height}x{width} came. Lower gt_size or raise crop_pad_size.'
        )
    top, left = int(params.top * (height - size + 1)), int(params.left * (width - size + 1))
    return (
        [img[..., top : top + size, left : left + size] for img in lqs],
        [img[..., top * scale : (top + size) * scale, left * scale : (left + size) * scale] for img in gts],
    )
