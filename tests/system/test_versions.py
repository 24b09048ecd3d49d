from importlib.metadata import PackageNotFoundError, version

import cv2

from stea_arch.system import versions


def test_a_machine_with_another_build_of_opencv_has_versions(monkeypatch):
    def headless(name):
        if name in ('opencv-python', 'stea_arch'):  # installed as opencv-python-headless; used from its folder
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(versions, 'version', headless)
    found = versions.get_versions()
    assert found['opencv'] == cv2.__version__ and found['torch'] == version('torch') and 'stea_arch' not in found
