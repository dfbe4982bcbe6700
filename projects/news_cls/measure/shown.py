"""Every table of the results, declared: what the README shows of a row of its CSV, in English and in Spanish."""

from pathlib import Path
from typing import Any

from shared import study
from shared.report import spread
from shared.study import REPEATS, Done, Table, last, mean_sd, plain, table

ARMS = {
    "majority": "majority",
    "svm": "TF-IDF, linear SVM",
    "frozen": "frozen MiniLM, logistic regression",
    "head": "frozen MiniLM, trained head",
    "contrastive": "contrastive (SetFit's way)",
    "tuned": "fine-tuned",
}
BALANCES = {
    "none": "none",
    "weights": "class weights",
    "over": "over-sampling",
    "under": "under-sampling",
    "focal": "focal loss",
    "logit": "logit adjustment",
}
READS = {"the whole article": "todo", "nothing": "nada", "first": "primeros"}
UNLABELLED = ", and unlabelled articles"
SPANISH = {
    "majority": "mayoría",
    "TF-IDF, linear SVM": "TF-IDF, SVM lineal",
    "frozen MiniLM, logistic regression": "MiniLM congelado, regresión logística",
    "frozen MiniLM, trained head": "MiniLM congelado, cabeza entrenada",
    "frozen multilingual e5, logistic regression": "e5 multilingüe congelado, regresión logística",
    "contrastive (SetFit's way)": "contrastivo (a la manera de SetFit)",
    "fine-tuned": "ajuste fino",
    ", and unlabelled articles": ", y noticias sin etiqueta",
    "none": "ninguna",
    "class weights": "pesos por clase",
    "over-sampling": "sobremuestreo",
    "under-sampling": "submuestreo",
    "focal loss": "pérdida focal",
    "logit adjustment": "ajuste de logits",
    "update with replay": "actualizar con repaso",
    "update alone": "actualizar solo con lo nuevo",
    ", tied to the old": ", atada a lo viejo",
    ", not tied": ", sin atar",
    "retrained": "reentrenar",
    "no new labels": "sin etiquetas nuevas",
    "unlabelled 2017 articles": "noticias de 2017 sin etiqueta",
    "within 2017": "dentro de 2017",
    "good": "bueno",
    "shuffled labels": "etiquetas barajadas",
    "one class only": "una sola clase",
    "other texts' labels": "etiquetas de otros textos",
    "classifier": "clasificador",
    "predicted topics": "temas dichos",
    "confidence": "confianza",
    "diagnosis": "diagnóstico",
    "integrated gradients": "gradientes integrados",
    "occlusion": "oclusión",
    "random": "al azar",
}


def arm_of(group: study.Group) -> str:
    """Name of a row's method."""
    own = group[0].config
    name = ARMS[own.arm].replace("MiniLM", "multilingual e5") if own.model == "e5" else ARMS[own.arm]
    return name + UNLABELLED * own.unlabelled


def shortened(method: str) -> str:
    """A method's name for a legend."""
    for long, short in (
        (", logistic regression", ""),
        (", linear SVM", ", SVM"),
        (", and unlabelled articles", " + unlabelled"),
    ):
        method = method.replace(long, short)
    return method


def labels_of(group: study.Group) -> str:
    """Labelled articles a topic."""
    return str(group[0].config.labels or "all")


def in_brackets(name: str, prefix: str = "", digits: int = 3) -> study.Shown:
    """A value with the bounds that stand beside it, under `prefix`low and `prefix`high."""

    def said(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
        if row[name] == "":
            return ""
        return f"{row[name]:.{digits}f} ({row[f'{prefix}low']:.{digits}f} to {row[f'{prefix}high']:.{digits}f})"

    return said


def three(name: str) -> study.Shown:
    """Mean ± deviation to three digits."""
    return lambda row, _: str(spread(row, name, 3))


METHOD = plain("method", arm_of, head="method", es="método")
ACCURACY = mean_sd("accuracy", "test_accuracy", head="accuracy", es="exactitud", show=three("accuracy"))
MACRO = mean_sd("macro_f1", "test_macro_f1", head="macro-F1", es="macro-F1", show=three("macro_f1"))
LABELS = plain("labels", labels_of, head="labels a topic", es="etiquetas por tema")
READ = plain("tokens", lambda group: reads(group[0]), head="reads", es="lee")
FEW = table("few", METHOD, LABELS, READ, ACCURACY, MACRO, REPEATS, spanish={**SPANISH, **READS}, keep_logs=True)
SPANISH_NEWS = table(
    "spanish", METHOD, LABELS, READ, ACCURACY, MACRO, REPEATS, spanish={**SPANISH, **READS}, keep_logs=True
)
WHOLE = table(
    "whole",
    METHOD,
    *(READ, ACCURACY, MACRO),
    mean_sd("ece_raw", "test_ece_raw", head="ECE, raw", es="ECE, sin escalar", show=three("ece_raw")),
    mean_sd("ece", "test_ece", head="ECE, scaled", es="ECE, escalada", show=three("ece")),
    REPEATS,
    spanish={**SPANISH, **READS},
    keep_logs=True,
)
RARE = table(
    "rare",
    *(study.setting("dataset", head="set", es="conjunto"), METHOD),
    plain(
        "balance", lambda group: BALANCES[group[0].config.balance], head="against imbalance", es="contra el desbalance"
    ),
    *(MACRO, ACCURACY),
    mean_sd(
        "balanced",
        "test_balanced_accuracy",
        head="balanced accuracy",
        es="exactitud balanceada",
        show=three("balanced"),
    ),
    mean_sd("validation", "validation_macro_f1"),
    REPEATS,
    spanish=SPANISH,
)
CANDIDATES = table(
    "candidates",
    ("set", "conjunto", "{dataset}"),
    ("method", "método", lambda row, _: ARMS[row["arm"]] + UNLABELLED * (str(row["unlabelled"]) == "True")),
    ("encoder", "codificador", "{model}"),
    ("labels a topic", "etiquetas por tema", lambda row, _: str(row["labels"] or "all")),
    ("tokens", "tokens", "{tokens}"),
    ("against imbalance", "contra el desbalance", lambda row, _: BALANCES[row["balance"]]),
    ("candidate", "candidato", lambda row, _: candidate(row)),
    *study.settings("dataset", "model", "arm", "labels", "unlabelled", "tokens", "balance", "c", "lr"),
    last(
        "validation_macro_f1", head="validation macro-F1", es="macro-F1 en validación", show="{validation_macro_f1:.3f}"
    ),
    last("seconds"),
    study.CELL,
    study.origin(),
    spanish={**SPANISH, "learning rate": "tasa de aprendizaje", "all": "todas"},
)


def candidate(row: dict[str, Any]) -> str:
    """What tells two candidates of a method apart."""
    if row["arm"] in ("svm", "frozen"):
        return f"C = {row['c']:g}"
    return f"learning rate = {row['lr']:g}" if row["arm"] != "majority" else ""


def reads(done: Done) -> str:
    """What of an article a cell reads."""
    if done.config.arm == "majority":
        return "nothing"
    if done.config.arm == "svm" and done.config.tokens >= 128:
        return "the whole article"
    return f"first {done.config.tokens} tokens"


TIME = table(
    "time",
    ("method", "método", "{method}"),
    ("learned from 2017", "aprendido de 2017", "{mode}"),
    ("new labels a topic", "etiquetas nuevas por tema", "{labels}"),
    ("macro-F1, 2017", "macro-F1, 2017", three("macro_f1")),
    ("accuracy, 2017", "exactitud, 2017", three("accuracy")),
    (
        "macro-F1, 2004",
        "macro-F1, 2004",
        lambda row, _: spread(row, "old_macro_f1", 3) if row["old_macro_f1"] != "" else "",
    ),
    spanish=SPANISH,
)
UPDATES = table(
    "updates",
    ("tie to the old head", "atadura a la cabeza vieja", "{anchor:g}"),
    ("weight of the new labels", "peso de las etiquetas nuevas", "{share:g}"),
    ("let in", "aceptadas", "{accepted} / {trials}"),
    ("gain on 2017", "ganancia en 2017", "{new_gain:+.3f}"),
    ("gain on 2004", "ganancia en 2004", "{old_gain:+.3f}"),
    ("chosen", "elegida", lambda row, _: "yes" if row["chosen"] else ""),
    spanish={"yes": "sí"},
)
GATE = table(
    "gate",
    ("update", "actualización", "{kind}"),
    ("trials", "ensayos", "{trials}"),
    ("let in", "aceptadas", "{accepted}"),
    ("gain on 2017", "ganancia en 2017", "{new_gain:+.3f}"),
    ("gain on 2004", "ganancia en 2004", "{old_gain:+.3f}"),
    spanish=SPANISH,
)
ALARMS = table(
    "alarms",
    ("test", "prueba", "{test}"),
    ("articles in a batch", "noticias por lote", "{batch}"),
    ("draws", "sorteos", "{draws}"),
    ("false alarms (95 %)", "falsas alarmas (95 %)", in_brackets("rate")),
    spanish=SPANISH,
)
POWER = table(
    "power",
    ("shift", "cambio", "{shift}"),
    ("share", "parte", "{strength:.0%}"),
    ("classifier", "clasificador", "{classifier:.2f}"),
    ("MMD", "MMD", "{mmd:.2f}"),
    ("predicted topics", "temas dichos", "{predicted_topics:.2f}"),
    ("confidence", "confianza", "{confidence:.2f}"),
    ("said: label shift", "dice: etiquetas", "{said_label_shift:.2f}"),
    ("said: input drift", "dice: entrada", "{said_input_drift:.2f}"),
    spanish={"topic": "otro tema", "source": "otra fuente", "label": "etiquetas"},
)
REASONS = table(
    "reasons",
    ("by", "según", "{by}"),
    ("articles", "noticias", "{articles}"),
    (
        "completeness error, median",
        "error de completitud, mediana",
        lambda row, _: f"{row['error']:.2%}" if row["error"] != "" else "",
    ),
    ("deletion, less is better (95 %)", "borrado, menos es mejor (95 %)", in_brackets("deletion", "deletion_")),
    ("insertion, more is better (95 %)", "inserción, más es mejor (95 %)", in_brackets("insertion", "insertion_")),
    ("deletion, less than random by (95 %)", "borrado, menos que al azar (95 %)", in_brackets("gain", "gain_")),
    spanish={**SPANISH, " to ": " a "},
)
SURE = table(
    "sure",
    ("tested on", "probado en", "{tested}"),
    ("accuracy", "exactitud", three("accuracy")),
    ("ECE, raw", "ECE, sin escalar", three("ece_raw")),
    ("ECE, scaled", "ECE, escalada", three("ece")),
    ("errors left at 90 % coverage", "errores que quedan al 90 % de cobertura", three("errors_left")),
    spanish={
        "BBC, 2004": "BBC, 2004",
        "words of the sections masked": "sin palabras de secciones",
        "nine outlets, 2017": "nueve medios, 2017",
        "later news, by hand": "noticias posteriores, a mano",
    },
)
CORPORA = table(
    "corpora",
    ("corpus", "corpus", "{corpus}"),
    ("train / validation / test", "entrenamiento / validación / prueba", "{train} / {validation} / {test}"),
    ("topics", "temas", "{topics}"),
    ("largest / smallest", "mayor / menor", "{largest} / {smallest}"),
    ("words, median (p95)", "palabras, mediana (p95)", "{words_median} ({words_p95})"),
    ("vocabulary", "vocabulario", "{vocabulary:,}"),
    ("in two parts", "en dos partes", "{overlap}"),
    ("suspected labels", "etiquetas sospechosas", "{suspected}"),
)
ERRORS = table(
    "errors",
    ("said", "dice", "{said}"),
    ("is", "es", "{label}"),
    ("sure", "seguridad", "{sure:.2f}"),
    ("begins", "empieza", "{text}"),
)
BENCH = table(
    "bench",
    ("backend", "motor", "{arm}"),
    ("one article, p50", "una noticia, p50", "{one_p50_ms:.0f} ms"),
    ("p95", "p95", "{one_p95_ms:.0f} ms"),
    ("articles a second, batches of 32", "noticias por segundo, lotes de 32", "{a_second:.0f}"),
    ("labels as float32", "etiquetas como float32", "{agree:.2%}"),
    ("memory", "memoria", "{memory_mb:.0f} MB"),
)
TABLES = (
    FEW,
    WHOLE,
    RARE,
    SPANISH_NEWS,
    TIME,
    UPDATES,
    GATE,
    ALARMS,
    POWER,
    REASONS,
    SURE,
    CORPORA,
    ERRORS,
    CANDIDATES,
    BENCH,
)


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Block of the README → the table that it shows, and its rows."""
    return study.written(out, *TABLES)
