"""What the parcels blueprint, in both its versions, and its workers agree on."""

from muster_worker.contracts import task
from pydantic import BaseModel, Field

LETTER_GRAMS = 500
VAN_GRAMS = 30_000


class Parcel(BaseModel):
    """What version 1 takes."""

    id: str
    city: str
    grams: int = Field(gt=0)


class VanParcel(Parcel):
    """What version 2 takes: the new vans carry less."""

    grams: int = Field(gt=0, le=VAN_GRAMS)


class Label(BaseModel):
    tracking: str


class Collected(BaseModel):
    """What the signal `collected` carries."""

    by: str


class Stop(BaseModel):
    tracking: str
    city: str


class Delivered(BaseModel):
    signed_by: str


print_label = task("parcels.label", Parcel, Label)
text_recipient = task("parcels.text", Stop, None)
drive = task("parcels.drive", Stop, Delivered)
