"""Words by which the purpose of a field or a button is recognized, in the languages that public apps use.

A word of Latin, Cyrillic or Greek letters counts only as a whole word or its beginning; one of other scripts, which do
not separate words, counts anywhere in the text.
"""

import re
import unicodedata
from collections.abc import Sequence

PROMPT = (
    "prompt", "describe", "description", "caption", "idea", "imagine", "your text",
    "enter text", "what to", "beschreibung", "eingabe", "invite", "descripcion", "descricao",
    "descrizione", "opis", "zapytanie", "промпт", "подсказка", "запрос", "описание", "опис",
    "aciklama", "istem", "mo ta", "beskrivning", "提示", "描述", "咒语", "正向", "プロンプト", "説明", "呪文",
    "프롬프트", "설명", "الوصف", "موجه", "תיאור", "คำ", "प्रॉम्प्ट",
)  # fmt: skip
NEGATIVE = (
    "negative", "negativ", "negatif", "negativo", "negativa", "negatywny", "exclude", "avoid",
    "unwanted", "what you don't want", "негатив", "отрицательный", "исключить", "olumsuz", "负",
    "反向", "負", "ネガティブ", "除外", "부정", "네거티브", "سلبي", "שלילי", "नकारात्मक",
)  # fmt: skip
GENERATE = (
    "generate", "create", "run", "submit", "draw", "paint", "imagine", "make", "go", "render",
    "start", "dream", "generieren", "erzeugen", "erstellen", "malen", "starten", "generer",
    "creer", "lancer", "dessiner", "generar", "crear", "gerar", "criar", "genera", "crea",
    "generuj", "utworz", "создать", "сгенерировать", "генерировать", "генерация", "нарисовать",
    "згенерувати", "створити", "olustur", "uret", "tao", "skapa", "generera", "生成", "绘制", "開始",
    "开始", "描く", "作成", "生成する", "생성", "만들기", "그리기", "إنشاء", "توليد", "צור", "สร้าง", "बनाएं",
)  # fmt: skip
OTHER_TASKS = (
    "upscale", "enhance prompt", "enhance", "interrogate", "caption", "clear", "reset", "undo",
    "save", "load", "download", "upload", "delete", "refresh", "describe", "random", "shuffle",
    "surprise", "stop", "cancel", "preprocess", "segment", "mask", "remove background",
    "train", "merge", "preview", "history", "compare", "edit", "放大", "清除", "重置", "停止", "取消",
    "クリア", "지우기", "очистить", "стоп", "отмена", "leeren", "abbrechen", "effacer",
)  # fmt: skip
RANDOM_SEED = (
    "random", "randomize", "randomise", "zufall", "zufallig", "aleatoire", "aleatorio",
    "aleatoria", "losowy", "случайный", "случайное", "rastgele", "随机", "隨機", "ランダム", "랜덤",
    "무작위",
)  # fmt: skip
# The name of an input in a recipe, and the words for it; the first that matches counts.
INPUT_NAMES: dict[str, tuple[str, ...]] = {
    "negative_prompt": NEGATIVE,
    "seed": (
        "seed", "startwert", "semilla", "semente", "graine", "ziarno", "сид", "зерно", "tohum",
        "种子", "種子", "シード", "시드",
    ),
    "width": (
        "width", "breite", "largeur", "ancho", "anchura", "largura", "larghezza", "szerokosc",
        "ширина", "genislik", "宽", "寬", "幅", "너비", "가로",
    ),
    "height": (
        "height", "hohe", "hauteur", "alto", "altura", "altezza", "wysokosc", "высота",
        "yukseklik", "高", "높이", "세로",
    ),
    "steps": (
        "steps", "inference steps", "num_inference_steps", "sampling steps", "schritte", "etapes",
        "pasos", "passos", "passi", "kroki", "шаги", "шагов", "adim", "步", "ステップ", "스텝", "단계",
    ),
    "cfg_scale": (
        "guidance", "cfg", "guidance scale", "classifier free", "引导", "引導", "ガイダンス", "가이던스",
        "гайденс",
    ),
    "sampler": (
        "sampler", "sampling method", "采样器", "採樣", "サンプラー", "샘플러", "сэмплер", "семплер",
    ),
    "scheduler": (
        "scheduler", "schedule", "调度", "スケジューラ", "스케줄러", "планировщик",
    ),
    "strength": (
        "strength", "denoising", "denoise", "starke", "fuerza", "forca", "сила", "强度", "強度", "강도",
    ),
    "image_count": (
        "number of images", "num images", "images", "how many", "batch count", "batch size",
        "anzahl", "nombre d'images", "numero de imagenes", "数量", "张数", "枚数", "이미지 수", "количество",
    ),
    "style": (
        "style", "stil", "estilo", "stile", "styl", "стиль", "风格", "風格", "スタイル", "스타일",
    ),
    "model": (
        "model", "checkpoint", "modell", "modele", "modelo", "modello", "модель", "模型", "モデル",
        "모델",
    ),
    "aspect_ratio": (
        "aspect", "ratio", "seitenverhaltnis", "format", "比例", "アスペクト", "비율", "соотношение",
    ),
}  # fmt: skip
SEPARATED_SCRIPTS = re.compile(r"^[\x00-\u052f\u1e00-\u1fff]*$")
NON_NAME = re.compile(r"[^a-z0-9]+")
MAX_NAME_CHARS = 40


def fold(text: str) -> str:
    """Return a text in lower case without accents and symbols, for comparison with the words of this module."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    # Combining marks are dropped only after Latin, Cyrillic and Greek letters: elsewhere they are part of a letter.
    kept, last = [], ""
    for letter in decomposed:
        if unicodedata.combining(letter) and SEPARATED_SCRIPTS.match(last):
            continue
        last = letter
        kept.append(letter)
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).replace("_", " ").replace("-", " ").split())


def mentions(text: str, words: Sequence[str]) -> bool:
    """Return whether a text contains one of the words."""
    folded = fold(text)
    return any(_contains(folded, fold(word)) for word in words)


def _contains(folded: str, word: str) -> bool:
    if not SEPARATED_SCRIPTS.match(word):
        return word in folded
    # Short words must match whole: "go" is not the beginning of "google".
    ending = r"\b" if len(word) < 5 else ""
    return bool(re.search(rf"\b{re.escape(word)}{ending}", folded))


def input_name(text: str) -> str | None:
    """Return the name of an input by the words of its label, None if they are unknown."""
    return next((name for name, words in INPUT_NAMES.items() if mentions(text, words)), None)


def to_name(text: str) -> str:
    """Return an input name made of the Latin letters of a text; empty if it has none."""
    ascii_text = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    words = [word for word in NON_NAME.split(ascii_text) if word]
    while words and not words[0][0].isalpha():
        words.pop(0)
    # Each part of a name begins with a letter.
    name = "_".join(words)[:MAX_NAME_CHARS]
    return re.sub(r"_(?=[0-9])", "", name).strip("_")
