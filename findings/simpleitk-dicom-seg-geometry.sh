#!/bin/sh
# A DICOM segmentation (SEG) with two segments on slices 2.5 mm apart, opened with SimpleITK.ReadImage.
# One would guess: a label volume of 1 and 2 where the organs are, since ITK reads geometry from DICOM. True: it opens
# without a word as a volume of 0 and 255, in which the frames of the second segment lie on those of the first as if they
# were more slices; the spacing is 1.0 mm and not 2.5, so that volumes in millilitres and surface distances are wrong. Only
# frames that are not empty are stored, so that a file of one segment has gaps in z that close up in the same way.
# highdicom's get_volume(combine_segments=True) gives labels, spacing and position. Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet SimpleITK==2.5.7 highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/seg.dcm" <<'PYTHON'
import sys

import highdicom
import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()


def ct_slice(number):
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, generate_uid()
    slice_.StudyInstanceUID, slice_.SeriesInstanceUID, slice_.FrameOfReferenceUID = study, series, frame_of_reference
    for name in ("PatientBirthDate", "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"):
        setattr(slice_, name, "")
    slice_.PatientID, slice_.PatientName, slice_.PatientSex, slice_.StudyID = "1", "Phantom^One", "O", "1"
    slice_.StudyDate, slice_.StudyTime, slice_.Modality = "20260101", "000000", "CT"
    slice_.SeriesNumber, slice_.InstanceNumber = 1, number + 1
    slice_.ImagePositionPatient, slice_.ImageOrientationPatient = [0, 0, 2.5 * number], [1, 0, 0, 0, 1, 0]
    slice_.PixelSpacing, slice_.SliceThickness = [1, 1], 2.5
    slice_.Rows, slice_.Columns, slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 20, 30, 1, "MONOCHROME2"
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
    slice_.PixelData = bytes(2 * 20 * 30)
    return slice_


def segment(number, label):
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type="MANUAL",
    )


labels = np.zeros((6, 20, 30), np.uint8)
labels[2:4, 3:9, 5:9], labels[3:5, 10:15, 11:20] = 1, 2  # both are on slice 3
highdicom.seg.Segmentation(
    source_images=[ct_slice(number) for number in range(6)],
    pixel_array=labels,
    segmentation_type="BINARY",
    segment_descriptions=[segment(1, "first"), segment(2, "second")],
    series_instance_uid=generate_uid(),
    series_number=2,
    sop_instance_uid=generate_uid(),
    instance_number=1,
    manufacturer="none",
    manufacturer_model_name="none",
    software_versions="1",
    device_serial_number="1",
).save_as(sys.argv[1])
volume = highdicom.seg.segread(sys.argv[1]).get_volume(combine_segments=True)
image = SimpleITK.ReadImage(sys.argv[1])
found = SimpleITK.GetArrayFromImage(image)
true_ml = (labels > 0).sum() * 2.5 / 1000
found_ml = (found > 0).sum() * np.prod(image.GetSpacing()) / 1000
print("SimpleITK", SimpleITK.Version.VersionString(), "highdicom", highdicom.__version__)
print(f"made: values {np.unique(labels).tolist()} on 3 slices, {true_ml:.3f} ml, z from 5 to 10 mm")
print(f"highdicom: {volume.shape}, values {np.unique(volume.array).tolist()}, spacing {volume.spacing}")
print(f"SimpleITK: {found.shape}, values {np.unique(found).tolist()}, spacing {image.GetSpacing()}, {found_ml:.3f} ml")
print("SimpleITK's origin:", image.GetOrigin())
right = volume.shape == (3, 20, 30) and np.unique(volume.array).tolist() == [0, 1, 2] and volume.spacing[0] == 2.5
stacked = found.shape == (4, 20, 30) and np.unique(found).tolist() == [0, 255] and image.GetSpacing()[2] == 1.0
sys.exit(not (right and stacked))
PYTHON
