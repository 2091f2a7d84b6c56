"""What a call says by itself, in the session's language, when no agent can be asked."""

from dataclasses import dataclass
from typing import Final

from .words import word_set


@dataclass(frozen=True, slots=True)
class Phrases:
    """`apology`: nobody can answer now. `broken`: a dialog cannot go on, and somebody takes over. `trouble`: the
    line does not hear any more, the call ends. `pardon`: the caller spoke, and no word was understood.
    `still_there`: nobody has spoken for long. `goodbye`: before we hang up."""

    apology: str
    trouble: str
    pardon: str
    still_there: str
    goodbye: str
    broken: str
    yes: frozenset[str]
    no: frozenset[str]


_ENGLISH: Final = Phrases(
    "I'm sorry, I can't answer that right now. Please try again in a moment.",
    "I'm sorry, we have a technical problem. Please call again later.",
    "I'm sorry, I didn't understand that. Could you say it again?",
    "Are you still there?",
    "Goodbye.",
    "I'm sorry, something went wrong.",
    word_set("yes yeah yep yup sure ok okay agree agreed fine"),
    word_set("no nope not don't never"),
)
_BY_LANGUAGE: Final = {
    "en": _ENGLISH,
    "de": Phrases(
        "Es tut mir leid, das kann ich gerade nicht beantworten. Bitte versuchen Sie es gleich noch einmal.",
        "Es tut mir leid, wir haben eine technische Störung. Bitte rufen Sie später noch einmal an.",
        "Entschuldigung, das habe ich nicht verstanden. Sagen Sie es bitte noch einmal?",
        "Sind Sie noch da?",
        "Auf Wiederhören.",
        "Entschuldigung, da ist etwas schiefgegangen.",
        word_set("ja jawohl gerne einverstanden ok okay klar"),
        word_set("nein nicht nö kein"),
    ),
    "fr": Phrases(
        "Je suis désolé, je ne peux pas répondre pour le moment. Veuillez réessayer dans un instant.",
        "Je suis désolé, nous avons un problème technique. Veuillez rappeler plus tard.",
        "Pardon, je n'ai pas compris. Pouvez-vous répéter ?",
        "Êtes-vous toujours là ?",
        "Au revoir.",
        "Pardon, un problème est survenu.",
        word_set("oui ouais d'accord ok okay"),
        word_set("non pas jamais"),
    ),
    "es": Phrases(
        "Lo siento, ahora no puedo responder. Inténtelo de nuevo en un momento, por favor.",
        "Lo siento, tenemos un problema técnico. Llame más tarde, por favor.",
        "Perdone, no le he entendido. ¿Puede repetirlo?",
        "¿Sigue ahí?",
        "Adiós.",
        "Perdone, algo ha fallado.",
        word_set("sí si vale claro ok okay"),
        word_set("no nunca"),
    ),
    "it": Phrases(
        "Mi dispiace, al momento non posso rispondere. Riprovi tra un attimo.",
        "Mi dispiace, abbiamo un problema tecnico. Richiami più tardi.",
        "Mi scusi, non ho capito. Può ripetere?",
        "È ancora in linea?",
        "Arrivederci.",
        "Mi scusi, qualcosa è andato storto.",
        word_set("sì si certo ok okay"),
        word_set("no non mai"),
    ),
    "pt": Phrases(
        "Desculpe, não consigo responder agora. Tente novamente dentro de momentos.",
        "Desculpe, temos um problema técnico. Ligue mais tarde, por favor.",
        "Desculpe, não percebi. Pode repetir?",
        "Ainda está aí?",
        "Adeus.",
        "Desculpe, algo correu mal.",
        word_set("sim claro ok okay"),
        word_set("não nunca"),
    ),
    "nl": Phrases(
        "Het spijt me, dat kan ik nu niet beantwoorden. Probeert u het zo nog eens.",
        "Het spijt me, we hebben een technische storing. Belt u later nog eens.",
        "Sorry, dat heb ik niet verstaan. Kunt u het nog eens zeggen?",
        "Bent u er nog?",
        "Tot ziens.",
        "Sorry, er ging iets mis.",
        word_set("ja jawel goed prima oké ok okay"),
        word_set("nee niet geen"),
    ),
}


def phrases(language: str) -> Phrases:
    """Return those of a BCP 47 tag; English where we have none."""
    return _BY_LANGUAGE.get(language.split("-")[0].casefold(), _ENGLISH)
