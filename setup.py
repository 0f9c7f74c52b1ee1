"""What is packed; all else is in pyproject.toml. The bundled files stay where people look for them, in ``assets/``."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["segmodels", "segmodels.*"]),
        "segmodels.assets.examples",
        "segmodels.assets.onnxruntime_web",
        "segmodels.assets.page",
        "segmodels.assets.weights",
    ],
    package_dir={"segmodels.assets": "assets"},
)
