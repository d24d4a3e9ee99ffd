"""Facts of daily work, and questions that ask for some of them in other words."""

from collections.abc import Sequence
from math import sqrt

from services.agents.memory.embedding.embedder import Embedder

ASKED = [
    ("The staging database is wiped every Sunday night.", "When do we lose the data of the test environment?"),
    ("Maria prefers to get the figures as a spreadsheet.", "In which format should I send numbers to Maria?"),
    ("Invoices above 10,000 euros need a second signature.", "Do large bills have to be approved by two people?"),
    ("The mobile app crashes when the phone is in airplane mode.", "What happens to our app without a connection?"),
    ("We deploy on Tuesdays and never on a Friday.", "On which weekday do releases go out?"),
    ("The API key of the weather provider expires in March.", "Until when is our access to the forecast valid?"),
    ("Tom is allergic to peanuts.", "What must the caterer leave out for Tom?"),
    ("Customers in Canada are billed in US dollars.", "Which currency do Canadian clients pay in?"),
    ("The old parser is slow because it reads each file twice.", "Why does parsing take so long?"),
    ("Our office in Lyon closes at the end of the year.", "Which site of the company is being shut down?"),
    ("Backups are encrypted and kept for ninety days.", "How long do we hold on to saved copies?"),
    ("The marketing team wants the logo in dark green.", "Which colour should the brand's emblem have?"),
    ("Unit tests must run in less than three minutes.", "What is the time limit of our test suite?"),
    ("Anna takes over the on-call phone from Peter next week.", "Who answers emergencies after Peter?"),
    ("The contract with the hosting company was cancelled.", "Did we end the agreement for our servers?"),
]
"""A fact, and a question about it."""

OTHERS = [
    "The printer on the second floor is out of toner.",
    "Pull requests are merged by squashing.",
    "The quarterly report is due on the fifth of April.",
    "Logs are written as JSON in production.",
    "The coffee machine is cleaned on Wednesdays.",
    "Nadia's thesis is about graph databases.",
    "The search index is rebuilt at four in the morning.",
    "Passwords must have at least twelve characters.",
    "The sales meeting moved from room B to room D.",
    "Python 3.11 is the oldest version that we support.",
    "The new intern starts in September.",
    "Images are compressed before they are uploaded.",
    "The car park is closed because of construction.",
    "Our newsletter has about four thousand readers.",
    "The checkout page is translated into nine languages.",
    "Kim owns the payment service.",
    "Travel expenses are refunded within two weeks.",
    "The load balancer drops requests after thirty seconds.",
    "The company was founded in a garage in 2009.",
    "Feature flags live in the admin panel.",
    "The blue cable belongs to the backup router.",
    "Lunch is delivered at half past twelve.",
    "The prototype is written in Rust.",
    "Security training is mandatory for everybody.",
    "The graph shows a peak in November.",
]
"""Facts that nobody asks for."""


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The similarity of two vectors of any length but 0."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / sqrt(sum(a * a for a in one) * sum(b * b for b in other))


async def places(embedder: Embedder) -> list[int]:
    """For each question, how many facts are more similar to it than the one it asks for."""
    facts = await embedder.embed([fact for fact, _ in ASKED] + OTHERS)
    found = []
    for number, question in enumerate(await embedder.embed([question for _, question in ASKED])):
        similarities = [cosine(question, fact) for fact in facts]
        found.append(sum(each > similarities[number] for each in similarities))
    return found
