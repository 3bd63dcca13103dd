"""Invented texts to a MedTech customer desk: parts of survey comments and of complaint narratives, by mood.

They contain what breaks careless parsers: quotes, separators, all kinds of line breaks, tabs, backslashes, braces, other scripts.
"""

from __future__ import annotations

# Comments: detractors, passives, promoters.
COMMENT_OPENINGS = (
    (
        "The kit came two days after the case",
        'Tracking said "delivered", nothing was there',
        "Third late shipment this quarter",
        "Lieferung ohne Lieferschein | so geht das nicht; bitte melden",
        "Entrega atrasada, cirurgia remarcada; ninguém avisou, não é a primeira vez",
        "Nobody calls back",
        "お届けが遅すぎます",
        "وصلت الشحنة متأخرة",
    ),
    (
        "Fine, mostly",
        "Good kit, slow paperwork",
        'The label reads "sterile until" and then nothing',
        "Tudo certo, mas a caixa veio amassada",
        "Die Schulung war kurz, aber gut",
        "C:\\kits\\list was out of date",
    ),
    (
        "On time, complete, sterile",
        'Our team calls it "the good kit"',
        "Excelente atendimento!",
        "Sehr zufrieden; gerne wieder",
        "いつも助かっています",
        "The rep stayed for the whole case",
        "Best account we work with 👍",
    ),
)
COMMENT_CLOSINGS = (
    ("please call us", "we look elsewhere next time", "a refund, please", "{{ who }} is in charge here?", "not again"),
    ("could be quicker", "the price is fair", "ok", "next time with a checklist, please"),
    ("thank you", "keep it up", "recommended to the whole ward", "10/10", "merci, à bientôt"),
)
JOINTS = (". ", ", ", "; ", " - ", "\n", "\r\n", "\n\n", "\t", " | ", "... ")
TAILS = ("", "", "", "", ".", "!", "!!", " 😡", " 🚚", "\n", " ")

# Narratives: events that need not be reported, and events that must.
NARRATIVE_OPENINGS = (
    (
        "Outer carton torn, sterile barrier intact",
        'Label says "left", tray holds the right-hand set',
        "One screw missing; the set has 11, the list says 12",
        "Battery at 40 % when unpacked",
        "Handle loose after the first use",
        "Bildschirm flackert, Gerät läuft weiter, Prüfung steht aus",
        "Embalagem violada na chegada",
    ),
    (
        "Drill stopped during the case",
        'Sterile barrier open: "peel pouch" not sealed',
        "Fragment of the guide wire seen on imaging",
        "Alarm did not sound at low pressure",
        "Implant of the wrong size in a box of the right label",
        "Überhitzung während des Eingriffs",
    ),
)
NARRATIVE_MIDDLES = (
    (
        "noticed before the case, set replaced",
        "no effect on the procedure",
        "lot number on the photo, 2 of 3",
        "the spare was used; no delay",
        "kept for collection, tray \\B-7\\",
    ),
    (
        "procedure finished with the spare, 35 minutes longer",
        "patient monitored overnight, no harm found",
        "device quarantined, lot number noted",
        'surgeon asks for "immediate" feedback',
        "second event with this lot",
    ),
)
NARRATIVE_CLOSINGS = (
    ("Please replace.", "Photos attached", "for information only", "wer holt es ab?"),
    ("Reported to quality the same day.", "Device held for return", "Please confirm receipt, in writing."),
)
