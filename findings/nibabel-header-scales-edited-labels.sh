#!/bin/sh
# nibabel: a NIfTI label map is read with get_fdata(), edited, and saved with the header it came with.
# One would guess: the header says uint8 and the values are whole numbers from 0 to 7, so they are stored as they are. True:
# get_fdata() gives floats, and floats saved under a header of whole numbers are stretched over its whole range, with a
# slope in the header. 0 to 7 come back as 0, 0.988, 2.004, 2.992 and so on, and a cast truncates them: classes 1, 3 and 5
# become 0, 2 and 4, in int16 too. SimpleITK reads the same file so as well, and truncates by itself when asked for uint8.
# With 0 to 3 or 0 to 5 all is well (255 can be divided by them), so that small tests do not show it.
# Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
PYTHONPATH="$folder/packages" python3 - "$folder" <<'PYTHON'
import sys

import nibabel
import numpy as np
import SimpleITK

folder = sys.argv[1]
print("nibabel", nibabel.__version__, "SimpleITK", SimpleITK.Version.VersionString())


def edited(classes, dtype):
    """A label map of 0 to `classes`, saved, read, its last voxel set to 0, and saved again."""
    labels = np.append(np.arange(classes + 1), 1).astype(dtype).reshape(1, 1, -1)
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), f"{folder}/labels.nii")
    image = nibabel.load(f"{folder}/labels.nii")
    values = image.get_fdata()
    values[0, 0, -1] = 0
    nibabel.save(nibabel.Nifti1Image(values, image.affine, image.header), f"{folder}/edited.nii")
    return values[0, 0, :-1]


wrong = {}
for dtype in (np.uint8, np.int16):
    for classes in (3, 5, 7, 20):
        meant = edited(classes, dtype)
        image = nibabel.load(f"{folder}/edited.nii")
        found = image.get_fdata()[0, 0, :-1]
        asked = SimpleITK.ReadImage(f"{folder}/edited.nii", SimpleITK.sitkUInt8)
        by_itk = SimpleITK.GetArrayFromImage(asked).ravel()[:-1]
        wrong[dtype, classes] = int((found.astype(int) != meant).sum())
        if classes == 7:
            print(f"{image.get_data_dtype()}, slope {image.dataobj.slope:.6g}: {found.round(5).tolist()}")
            print(f"  as integers: {found.astype(int).tolist()}, SimpleITK as uint8: {by_itk.tolist()}")
            itk_wrong = (by_itk != meant).any()
        print(f"{np.dtype(dtype)}, classes 0 to {classes}: {wrong[dtype, classes]} come back as another class")
as_described = itk_wrong and wrong[np.uint8, 3] == wrong[np.uint8, 5] == 0
as_described = as_described and all(wrong[dtype, n] for dtype in (np.uint8, np.int16) for n in (7, 20))
sys.exit(not as_described)
PYTHON
