"""A token's picture as the pages show it: its files, its aspect ratio, or why it is missing."""

from dataclasses import dataclass

from schemas.gallery.tokens import MediaStatus, TokenMedia
from schemas.gallery.urls import asset_url

# The proportions, in percent, for which the style sheet has a class. Lists crop a picture to the nearest one.
RATIOS = (40, 50, 56, 60, 67, 71, 75, 80, 90, 100, 110, 125, 133, 141, 150, 167, 178, 200, 250)
PREPARING_TEXT = "The picture is being prepared."
KIND_LABELS = {"image": "", "animation": "Animated", "video": "Video"}


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture of a token. Files are paths below the root, or None.

    ``whole`` is the full picture, ``thumb`` a small still one, ``poster`` the still of a video. ``kind`` is ``image``,
    ``animation`` or ``video``. ``ratio`` is one of RATIOS.
    """

    kind: str
    type: str
    whole: str | None
    thumb: str | None
    poster: str | None
    width: int | None
    height: int | None
    ratio: int
    is_explicit: bool
    state_label: str = ""
    reason: str = ""
    advice: str = ""

    @property
    def kind_label(self) -> str:
        """The word on the badge."""
        return KIND_LABELS[self.kind]


def build_picture(media: TokenMedia, *, is_explicit: bool, is_owner: bool = False) -> Picture:
    """Return the picture of a token; its owner gets advice where it is missing."""
    is_ready = media.status is MediaStatus.READY
    label, reason, advice = _describe_state(media, is_owner=is_owner)
    return Picture(
        kind=_kind(media),
        type=media.type or "",
        whole=_path(media.asset) if is_ready else None,
        thumb=_path(media.thumb or media.poster) if is_ready else None,
        poster=_path(media.poster) if is_ready else None,
        width=media.width,
        height=media.height,
        ratio=nearest_ratio(media.width, media.height),
        is_explicit=is_explicit,
        state_label=label,
        reason=reason,
        advice=advice,
    )


def nearest_ratio(width: int | None, height: int | None) -> int:
    """Return the entry of RATIOS that is nearest to the proportions; 100 if they are unknown."""
    if not width or not height:
        return 100
    wanted = 100 * width / height
    return min(RATIOS, key=lambda ratio: max(ratio / wanted, wanted / ratio))


def _kind(media: TokenMedia) -> str:
    if (media.type or "").startswith("video/"):
        return "video"
    return "animation" if (media.frames or 1) > 1 else "image"


def _path(name: str | None) -> str | None:
    return asset_url("", name).removeprefix("/") if name else None


def _describe_state(media: TokenMedia, *, is_owner: bool) -> tuple[str, str, str]:
    """Return the text shown instead of the picture, the reason, and advice for the owner."""
    match media.status:
        case MediaStatus.PENDING:
            return PREPARING_TEXT, "", "Reload the page in a few seconds."
        case MediaStatus.FAILED:
            advice = "Upload another file, or the same one in another format." if is_owner else ""
            return "The picture could not be used.", media.reason or "", advice
        case MediaStatus.NONE:
            advice = "Request an upload URL and PUT a file to it: see docs/gallery.md." if is_owner else ""
            return "No picture yet.", "", advice
    return "", "", ""
