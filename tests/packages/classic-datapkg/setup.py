"""Installation script for the nipy classicpkg data package."""

import configparser
import os
from os.path import abspath, dirname, join as pjoin

from setuptools import setup

# Paths in data_files are relative to the working directory.
os.chdir(dirname(abspath(__file__)))

# The data package, in this directory and under <prefix>/share/nipy.
PKG_PATH = pjoin("nipy", "classicpkg")

data_files = []
for dirpath, dirnames, filenames in os.walk(PKG_PATH):
    dirnames.sort()
    sources = [pjoin(dirpath, name) for name in sorted(filenames)]
    data_files.append((pjoin("share", "nipy", dirpath), sources))

config = configparser.ConfigParser()
with open(pjoin(PKG_PATH, "config.ini"), encoding="utf-8") as config_file:
    config.read_file(config_file)

setup(
    name="nipy-classicpkg",
    version=config["DEFAULT"]["version"],
    description="A data package of the old style",
    author="The nibabel-data developers",
    license="CC0-1.0",
    # No modules. Left out, setuptools would take the directory nipy for one.
    packages=[],
    data_files=data_files,
)
