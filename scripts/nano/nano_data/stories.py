"""Words and sentences: word problems (gain, lose, each), words to count letters in, talk that is no sum."""

# fmt: off
# One phrase a line would be three pages of it.
NAMES = [
    "Tom", "Anna", "Ben", "Lucy", "Marie", "Paul", "Luc", "Emma", "Juan", "Ana", "Luis", "Sara", "Leo",
    "Nina",
]
ITEMS = {
    "en": [
        "apples", "pears", "books", "cards", "coins", "eggs", "pens", "balls", "stamps", "cookies", "marbles",
        "flowers",
    ],
    "fr": [
        "pommes", "poires", "livres", "cartes", "billes", "crayons", "balles", "timbres", "bonbons", "fleurs",
    ],
    "es": [
        "manzanas", "peras", "monedas", "cartas", "galletas", "flores", "canicas", "pelotas", "fresas",
        "tarjetas",
    ],
}
BOXES = {
    "en": ["boxes", "bags", "shelves", "baskets", "rows"],
    "fr": ["boîtes", "caisses", "tables", "piles"],
    "es": ["cajas", "bolsas", "cestas", "filas", "mesas"],
}
# {n} name, {i} item, {a} {b} {c} numbers, {g} boxes. The operators are the steps of the scratch work.
STORIES: dict[str, dict[str, list[str]]] = {
    "en": {
        "+": [
            "{n} has {a} {i}. {n} gets {b} more. How many {i} does {n} have now?",
            "{n} has {a} {i} and buys {b} more. How many {i} does {n} have?",
            "{n} had {a} {i} and found {b} more. How many are there now?",
            "There are {a} {i} on the table and {b} in the box. How many {i} are there?",
            "{n} has {a} {i} and {m} has {b} {i}. How many {i} do they have together?",
            "I have {a} {i} and buy {b} more. How many {i} do I have?",
            "I had {a} {i}. {n} gave me {b} more. How many do I have now?",
            "A farmer has {a} {i} and picks {b} more. How many {i} does he have?",
            "{n} has {a} {i}. {m} gives him {b} more. How many {i} does he have?",
            "If I have {a} {i} and get {b} more, how many do I have?",
        ],
        "-": [
            "{n} has {a} {i} and loses {b}. How many {i} are left?",
            "{n} has {a} {i}. {n} gives {b} to {m}. How many {i} does {n} have left?",
            "{n} had {a} {i} and ate {b}. How many are left?",
            "There are {a} {i}. {n} takes {b}. How many {i} are left?",
            "{n} had {a} {i} and sold {b}. How many {i} does {n} have now?",
            "I have {a} {i} and lose {b}. How many do I have left?",
            "{n} has {a} {i} and eats {b} of them. How many {i} are left?",
            "A shop has {a} {i} and sells {b}. How many {i} are left?",
            "If I have {a} {i} and give away {b}, how many are left?",
        ],
        "*": [
            "There are {a} {g} with {b} {i} each. How many {i} are there?",
            "{n} has {a} {g} with {b} {i} in each. How many {i} does {n} have?",
            "Each of {a} {g} holds {b} {i}. How many {i} in all?",
            "{n} buys {a} {g} of {b} {i} each. How many {i} is that?",
            "I have {a} {g} with {b} {i} in each. How many {i} do I have?",
            "A shop sells {a} {g} of {b} {i}. How many {i} is that in all?",
        ],
        "+-": [
            "{n} has {a} {i}, gets {b} more and gives {c} away. How many {i} are left?",
            "{n} has {a} {i}. {n} buys {b} and loses {c}. How many {i} does {n} have now?",
        ],
    },
    "fr": {
        "+": [
            "{n} a {a} {i}. {n} reçoit encore {b} {i}. Combien de {i} a {n} maintenant ?",
            "{n} a {a} {i} et achète {b} {i}. Combien de {i} a {n} ?",
            "{n} a {a} {i} et {m} a {b} {i}. Combien de {i} ont-ils ensemble ?",
            "Il y a {a} {i} sur la table et {b} dans la boîte. Combien de {i} y a-t-il ?",
        ],
        "-": [
            "{n} a {a} {i} et perd {b} {i}. Combien de {i} reste-t-il ?",
            "{n} a {a} {i}. {n} donne {b} {i} à {m}. Combien de {i} reste-t-il ?",
            "{n} avait {a} {i} et a vendu {b} {i}. Combien en reste-t-il ?",
        ],
        "*": [
            "Il y a {a} {g} avec {b} {i} dans chaque. Combien de {i} y a-t-il ?",
            "{n} a {a} {g} de {b} {i}. Combien de {i} a {n} ?",
            "{n} achète {a} {g} de {b} {i}. Combien de {i} cela fait ?",
        ],
        "+-": ["{n} a {a} {i}, reçoit {b} {i} et donne {c} {i}. Combien de {i} reste-t-il ?"],
    },
    "es": {
        "+": [
            "{n} tiene {a} {i}. {n} recibe {b} más. ¿Cuántas {i} tiene ahora?",
            "{n} tiene {a} {i} y compra {b} más. ¿Cuántas {i} tiene {n}?",
            "{n} tiene {a} {i} y {m} tiene {b} {i}. ¿Cuántas {i} tienen juntos?",
            "Hay {a} {i} en la mesa y {b} en la caja. ¿Cuántas {i} hay?",
        ],
        "-": [
            "{n} tiene {a} {i} y pierde {b}. ¿Cuántas {i} quedan?",
            "{n} tiene {a} {i}. {n} da {b} a {m}. ¿Cuántas {i} le quedan?",
            "{n} tenía {a} {i} y vendió {b}. ¿Cuántas quedan?",
        ],
        "*": [
            "Hay {a} {g} con {b} {i} cada una. ¿Cuántas {i} hay?",
            "{n} tiene {a} {g} con {b} {i} en cada una. ¿Cuántas {i} tiene {n}?",
            "{n} compra {a} {g} de {b} {i}. ¿Cuántas {i} son?",
        ],
        "+-": ["{n} tiene {a} {i}, recibe {b} y da {c}. ¿Cuántas {i} quedan?"],
    },
}
WORDS = """strawberry banana raspberry mississippi apple cherry orange window garden summer winter yellow purple
planet rocket school butter pepper coffee kettle puzzle bottle hammer rabbit parrot kitten puppy monkey elephant
tiger zebra guitar piano violin mirror carpet pillow blanket candle lantern castle bridge tunnel river mountain forest desert
island ocean thunder lightning weather science history music language sentence paragraph dictionary committee success address
balloon bookkeeper difference parallel possess tomorrow necessary occurrence maison fenêtre fromage chocolat papillon
grenouille voiture château forêt école bicyclette poisson oiseau montagne rivière soleil étoile chaussure couleur lumière
ventana perro gato caballo zapato camisa cuchara tenedor mariposa pájaro árbol montaña estrella corazón biblioteca carretera
ferrocarril naranja plátano cereza mistral magistral reasoning mac paris london madrid cat dog""".split()

# {w}: a word, real or made up; {d}: a small number.
TALK = {
    "en": [
        "hello", "Hello!", "Hi", "Hi!", "hey", "Good morning", "Thanks!", "thank you", "Thank you very much.",
        "ok", "bye", "Goodbye!", "Who are you?", "What is your name?", "What can you do?", "Are you an AI?",
        "How are you?", "Who made you?", "What is the capital of France?", "What is the capital of {w}?",
        "Write a poem.", "Write a poem about {w}.", "Write {d} lines about {w}.", "Tell me a joke.",
        "Tell me a story about {w}.", "What is {w}?", "What is a {w}?", "Who is {w}?", "Who was {w} {w}?",
        "Explain {w}.", "Explain {w} {w} to me.", "Translate {w} into French.", "How do I {w} a {w}?",
        "Why is the sky blue?", "Why is {w} {w}?", "When was {w} born?", "Where is {w}?", "Is {w} a {w}?",
        "Do you like {w}?", "Write a program that {w} {w}.", "What is the meaning of life?",
        "What is the weather in {w}?", "What time is it?", "Summarize this: {w} {w} {w} {w} {w}.",
        "Give me {d} ideas for {w}.", "I like {w}.", "test", "{w}", "{w} {w}", "{w} {w} {w} {w}",
        "Can you help me?", "Can you {w} the {w}?", "Prove that the square root of {d} is irrational.",
        "What is the square root of {d}?", "What is {d} divided by {d}?", "{d} / {d}", "What is {d}/{d}?",
        "Solve x^2 = {d}.", "List {d} {w} {w}.", "How many {w} are in a {w}?", "How old is {w}?",
        "What happened in {d}?", "Write a {w}.", "The {w} and the {w}", "Please {w} my {w}.",
        "How to {w} {w}?", "What does {w} mean?", "Are you {w}?",
    ],
    "fr": [
        "bonjour", "Bonjour !", "Salut", "Salut !", "Merci !", "merci beaucoup", "Au revoir", "Qui es-tu ?",
        "Comment t'appelles-tu ?", "Que sais-tu faire ?", "Comment vas-tu ?", "Comment ça va ?",
        "Quelle est la capitale de la France ?", "Quelle est la capitale de {w} ?", "Écris un poème.",
        "Écris un poème sur {w}.", "Raconte-moi une histoire.", "Raconte-moi une blague.", "Explique {w}.",
        "Qu'est-ce que {w} ?", "Qu'est-ce qu'un {w} ?", "Qui est {w} ?", "Pourquoi le ciel est bleu ?",
        "Pourquoi {w} est {w} ?", "Où est {w} ?", "Traduis {w} en anglais.", "Quel temps fait-il à {w} ?",
        "Quelle heure est-il ?", "Quand est né {w} ?", "J'aime {w}.", "Peux-tu m'aider ?",
        "Donne-moi {d} idées pour {w}.", "Écris {d} lignes sur {w}.", "le {w} et la {w}",
        "Combien font {d} divisé par {d} ?", "Quelle est la racine carrée de {d} ?", "Comment {w} un {w} ?",
    ],
    "es": [
        "hola", "¡Hola!", "Hola", "Buenos días", "¡Gracias!", "gracias", "muchas gracias", "Adiós",
        "¿Quién eres?", "¿Cómo te llamas?", "¿Qué sabes hacer?", "¿Cómo estás?",
        "¿Cuál es la capital de Francia?", "¿Cuál es la capital de {w}?", "Escribe un poema.",
        "Escribe un poema sobre {w}.", "Cuéntame una historia.", "Cuéntame un chiste.", "Explica {w}.",
        "¿Qué es {w}?", "¿Quién es {w}?", "¿Quién fue {w}?", "¿Por qué el cielo es azul?",
        "¿Por qué {w} es {w}?", "¿Dónde está {w}?", "Traduce {w} al inglés.", "¿Qué tiempo hace en {w}?",
        "¿Qué hora es?", "Me gusta {w}.", "¿Puedes ayudarme?", "Dame {d} ideas para {w}.",
        "Escribe {d} líneas sobre {w}.", "el {w} y la {w}", "¿Cuánto es {d} dividido por {d}?",
        "¿Cuál es la raíz cuadrada de {d}?", "¿Cómo {w} un {w}?",
    ],
}

# Mathematics that nano was not taught.
NO_SUMS = {
    "en": [
        "Is {d} prime?", "What is {d} squared?", "What is half of {d}?", "What is {d} percent of {d}?", "What is {d}.{d} + {d}?",
        "What is {d}.{d} - {d}.{d}?", "What is {d} to the power of {d}?", "What is {d}^{d}?", "Convert {d} km to miles.", "Count to {d}.",
        "What day is it in {d} days?", "What is the factorial of {d}?", "What is pi?", "What is {d}!?", "Name {d} {w}.", "Divide {d} by {d}.",
        "Give me a random number between {d} and {d}.", "Is {d} even or odd?", "What comes after {d}?", "What is the average of {d} and {d}?",
        "How many days are in {d} years?", "What is {d}/{d} + {d}/{d}?", "Solve {d}x + {d} = {d}.", "Integrate x^{d}.", "What is log({d})?",
    ],
    "fr": [
        "{d} est-il premier ?", "Quel est le carré de {d} ?", "Quelle est la moitié de {d} ?", "Combien font {d},{d} + {d} ?", "Divise {d} par {d}.",
        "Résous {d}x + {d} = {d}.", "Compte jusqu'à {d}.", "Quelle est la moyenne de {d} et {d} ?", "{d} est-il pair ?",
    ],
    "es": [
        "¿Es {d} primo?", "¿Cuál es el cuadrado de {d}?", "¿Cuál es la mitad de {d}?", "¿Cuánto es {d},{d} + {d}?", "Divide {d} entre {d}.",
        "Resuelve {d}x + {d} = {d}.", "Cuenta hasta {d}.", "¿Cuál es la media de {d} y {d}?", "¿Es {d} par?",
    ],
}
