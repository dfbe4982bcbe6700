"""Words and sentence patterns of the synthetic entities, written for this project; `ner.py` draws from them.

Every pool is divided into train, validation and test before anything is drawn, so that no name and no pattern of the
test was seen in training.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN = _words("""
Alma Bruno Celia Darío Elena Fausto Gloria Hugo Inés Julián Karina Lucio Marta Néstor Olga Pablo Quique Rosa Saúl
Tania Ulises Vera Wilma Ximena Yago Zoe Anton Birgit Conrad Dagny Emil Freya Gustav Hedda Ivar Johanna Klaus Lotte
Magnus Nora Otto Petra Rasmus Sigrid Tomas Ulla Viggo Wanda Axel Ylva Amara Badru Chidi Dalila Efua Farid Ghalia Hakim
Imani Jabari Kofi Leila Malik Nadira Omari Priya Rajiv Sanjay Tariq Usha
""")

FAMILY = _words("""
Abarca Benites Carrasco Delgado Espino Falcón Gamarra Huamán Ibáñez Jurado Koller Lazarte Mamani Novoa Ochante
Palacios Quispe Rebaza Salcedo Tejada Urrutia Valdivia Wiese Yupanqui Zevallos Andersson Bergman Christensen Dahl
Eklund Fischer Grønbech Hansson Isaksen Jensen Keller Lindqvist Møller Nyström Olsen Pettersen Rosenberg Schneider
Thorsen Ulrich Vestergaard Weber Zimmermann Abebe Banerjee Chukwu Diallo Eze Farouk Gupta Hassan Iyer Joshi Kamau
Lwanga Mensah Nair Okafor Patel Rahman Sow Traoré Uddin Verma Yadav
""")

TOWNS = _words("""
Aldervik Barranco Cajabamba Drosendorf Estrelén Fjellby Grünau Huaytará Ilmenau Jarabamba Kvistad Llamara Moyobamba
Nordhavn Oxapampa Pisagua Querétal Rivadel Skogheim Tarapaya Umbertal Valkenau Wendelby Xalapán Yanahuara Zarumilla
Arequena Brackwell Colmena Dunmarsh Eastmere Fernhollow Gravelford Hartsmoor Inverlow Kingsbarrow Langthorpe Millbrae
Northwick Oakhampton Pendlow Ravenscar Stonebeck Thornaby Underhill Westerdale Ambato Bomani Chiwara Dakura Entebo
Fezara Gorongo Harambe Isiolo Jinjara Kasunga Lokoja Mbandara Namibo Ouadane Pemba Rufiji Songea Tambura
""")

FIRMS = _words("""
Acerix Bolmera Cintrax Delvona Enertek Fordalis Gentrix Halvero Inquora Jovitec Kelmara Lumetra Mirador Novaris
Omnitel Pralux Quantera Rovexa Solvanta Tecnara Univex Valmetro Wexford Xylotec Yardena Zentaro Agrinova Bancor
Corvita Dynalis Ecovera Ferrotex Grupasa Hidrona Interval Kronosur Logista Metalin Nexora Optiva Petrona Quimera
Redsol Servimax Textura Ultramar Vidriera Westline Auralis Brightwell Copperline Draxon Everhart Fairmont Goldcrest
Highland Ironbridge Jasperson Kestrel Larkspur Merriton Northgate Oakline Pinecrest
""")

PRODUCTS = _words("""
Airon Blitza Cloudo Drivo Echora Flexio Glidex Hydra Ignio Jumpix Kinetik Lumo Motiv Nimbo Orbita Pixara Quarko Rapido
Silico Turba Ultrix Vento Wavelo Xenia Yolo Zippa Arcadia Breeze Cometa Dolphin Emberly Firefly Garnet Hornet Islander
Javelin Kodiak Lyra Mantis Nautilo Onyx Panthera Quill Rocket Spartan Tempesta Unison Viper Whisper Zephyr Aurora Bolt
Cascade Drift Eclipse Fusion Glimmer Halo Inferno
""")

# Level 3 draws all four kinds from one pool: here only the sentence says what a name is the name of.
AMBIGUOUS = _words("""
Jordan Florence Lincoln Austin Madison Carter Ford Chelsea Sydney Victoria Paris Amazon Orange Shell Target Apple
Phoenix Houston Dallas Denver Jackson Montana Dakota Georgia Virginia Carolina Brooklyn Chanel Mercedes Tesla Dell
Bosch Siemens Disney Kellogg Hilton Wells Morgan Chase Stanley Barclay Logan Nelson Washington Santiago Israel Diego
Lourdes Asia India Kenya China Bristol Lancaster Hamilton Clinton Franklin Marion Camden Dover Windsor York Kent Devon
Holland France Ireland Adele Galaxy Mustang Explorer Civic Polo Golf Beetle Focus Avalon Sierra Savannah Aspen
Cheyenne Trenton Salem Eden Troy Milan Roma Valencia Lorraine Alexandria Charlotte Elizabeth Helena Regina Augusta
Concord Newton Kelvin Pascal Curie
""")

# The words that make long names of short ones are cut like the names: those of the test are new as well.
PLACE_FIRST = _words("""
Port Lake San Upper Fort Mount Puerto Nueva Santa Villa Lower Cape Saint East West Punta Bahía Laguna Glen Monte
""")
FIRM_LAST = _words("""
Bank Group Industries University Airlines Foundation Motors Press Holdings Partners Insurance Logistics Steel Energy
Systems Laboratories Textiles Institute Brewery Consulting
""")
PRODUCT_LAST = _words("Pro Max 200 X2 Mini Plus 7 Lite Ultra Neo Prime Classic XL Duo 3000 SE 12 Elite Nano Turbo")

# {DAY} and {NATION} are filled with capitalised words that are no entities here.
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday January April July October")
NATIONS = _words("Peruvian Danish Kenyan Indian German Chilean Norwegian Spanish")

TEMPLATES = tuple(
    """
{PER} moved to {LOC} with two children and a dog .
The mayor of {LOC} opened the new bridge on {DAY} .
{ORG} will cut four hundred jobs before the summer .
Reviewers praised the battery of the {PROD} .
{PER} , who studied law , now works for {ORG} .
Heavy rain closed the road between {LOC} and {LOC} .
Shares of {ORG} rose after the {NATION} court ruled .
The {PROD} costs twice as much as the {PROD} .
My aunt {PER} was born in a village near {LOC} .
{ORG} hired {PER} as its chief accountant .
Customers returned the {PROD} because its screen broke .
Flights to {LOC} were cancelled for the third day .
On {DAY} the lawyer {PER} met reporters outside the court .
{ORG} presented the {PROD} at a fair in {LOC} .
Doctor {PER} has treated {NATION} patients for years .
The museum in {LOC} shows paintings from three centuries .
Investors lost confidence in {ORG} last {DAY} .
I charged my {PROD} all night and it still would not start .
{PER} and {PER} got married in {LOC} .
The union signed an agreement with {ORG} on wages .
Tourists swim in the river that runs through {LOC} .
The goalkeeper {PER} was injured during training .
{ORG} denied that the {PROD} overheats .
A train from {LOC} arrived four hours late .
The novelist {PER} won a {NATION} prize .
A software update makes the {PROD} slower .
The headquarters of {ORG} are in {LOC} .
Neighbours said that {PER} rarely left the house .
Farmers around {LOC} expect a poor harvest .
The board of {ORG} dismissed its president , {PER} .
Prices in {LOC} doubled within ten years .
Nobody at {ORG} answered our letters .
{PER} bought a used {PROD} on {DAY} .
The fans of {PER} waited at the airport of {LOC} .
Engineers at {ORG} tested the {PROD} for months .
The earthquake was felt as far away as {LOC} .
Grandmother taught {PER} how to bake bread .
The lawsuit against {ORG} began on {DAY} .
You can connect the {PROD} to a printer by cable .
The {NATION} ambassador visited {LOC} in spring .
{PER} sang two songs and left the stage .
The hotel stands on a hill above {LOC} .
The receipt of the {PROD} shows a price of ninety .
According to {ORG} , profits fell by a fifth .
Professor {PER} teaches chemistry at night .
We drove through {LOC} without stopping .
The new {PROD} weighs less than a kilo .
{ORG} sponsors the {NATION} cycling team .
Her brother {PER} plays the violin .
The population of {LOC} fell after the war .
Thieves stole a {PROD} from the shop of {PER} .
{ORG} plans to build a factory outside {LOC} .
The manual of the {PROD} explains nothing .
Voters in {LOC} chose {PER} as governor .
Last {DAY} {ORG} paid its debts .
A statue of {PER} was unveiled in {LOC} .
""".strip().splitlines()
)
