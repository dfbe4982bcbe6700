"""Other words for the words that film articles use most: with them a question says what a passage says in other words.

Written by hand for this project, without looking at what any retriever finds. One word may become several.
"""

_PAIRS = """
young=youthful; woman=lady; women=ladies; man=fellow; men=fellows; girl=lass; boy=lad; child=kid; children=kids
family=household; wife=spouse; husband=spouse; father=dad; mother=mum; parents=mum and dad
daughter=female offspring; daughters=female offspring; son=male offspring; sons=male offspring; brother=male sibling
brothers=male siblings; sister=female sibling; sisters=female siblings; widow=bereaved spouse; couple=pair
lover=sweetheart; lovers=sweethearts; love=affection; romance=tenderness; romantic=amorous; relationship=bond
relationships=bonds; marriage=wedlock; married=wed; marries=weds; marry=wed; divorce=separation
affair=secret liaison; mistress=secret sweetheart; friend=companion; friends=companions; friendship=companionship
stranger=unknown person; strangers=unknown persons; life=existence; lives=existences; living=dwelling; live=dwell
lived=dwelt; death=demise; dead=deceased; dying=near the end; dies=passes away; murder=homicide; murders=homicides
murdered=slain; murderer=assassin; kill=slay; kills=slays; killed=slain; killer=assassin; killing=slaying
suicide=taking of one's own life; crime=lawbreaking; crimes=felonies; criminal=crook; criminals=crooks
gangster=mobster; gangsters=mobsters; robbery=heist; thief=burglar; thieves=burglars; prison=jail; prisoner=inmate
prisoners=inmates; prostitute=sex worker; courtesan=kept lady; police=law officers; policeman=constable
detective=sleuth; investigator=sleuth; investigation=inquiry; lawyer=attorney; trial=court hearing
town=small municipality; village=hamlet; city=metropolis; home=house; house=dwelling; country=nation
rural=of the countryside; island=isle; sea=ocean; desert=arid waste; mountain=peak; mountains=peaks; river=stream
road=highway; street=avenue; world=globe; war=armed conflict; battle=fight; soldier=trooper; soldiers=troops
army=military; veteran=former trooper; officer=commander; officers=commanders; forces=troops; combat=fighting
occupation=foreign rule; revolution=uprising; work=labour; works=labours; worker=labourer; workers=labourers
working=labouring; job=employment; unemployed=jobless; career=professional path; business=trade
businessman=merchant; factory=industrial plant; farm=ranch; farmer=peasant; peasants=tillers of the soil; money=cash
rich=affluent; wealthy=affluent; poor=penniless; poverty=hardship; gold=precious metal; school=classroom
student=pupil; students=pupils; teacher=instructor; teachers=instructors; professor=academic
schoolteacher=instructor; doctor=physician; nurse=carer; hospital=clinic; priest=clergyman; nun=convent sister
journalist=reporter; writer=author; novelist=author; poet=maker of verses; artist=creator; painter=maker of pictures
musician=instrument player; singer=vocalist; dancer=ballet performer; actress=stage lady; actor=stage performer
actors=stage performers; filmmaker=movie maker; director=movie maker; photographer=picture taker; star=celebrity
music=songs; song=tune; dance=ballet; theater=playhouse; theatre=playhouse; play=stage piece; stage=boards
television=TV; book=volume; letters=correspondence; letter=note; diary=journal; newspaper=daily press; story=tale
tale=story; stories=tales; history=past; historical=of the past; plot=storyline; events=happenings
follows=accompanies; tells=recounts; depicts=portrays; portrays=depicts; shows=presents; explores=looks into
concerns=is about; centers=turns on; centres=turns on; focuses=concentrates; chronicles=records; recounts=narrates
becomes=turns into; become=turn into; begins=starts; begin=start; ends=finishes; tries=attempts; trying=attempting
attempt=try; attempts=tries; struggle=hard effort; struggles=labours hard; fight=struggle; fights=struggles
fighting=struggling; escape=get away; escapes=gets away; escaped=got away; travel=voyage; travels=voyages
traveling=voyaging; journey=voyage; trip=voyage; return=come back; returns=comes back; returning=coming back
arrives=comes; arrival=coming; leaves=departs; leave=depart; left=departed; meets=encounters; meet=encounter
meeting=encounter; encounter=meet; encounters=meets; finds=comes upon; find=come upon; finding=coming upon
discovers=comes upon; discover=come upon; search=hunt; searching=hunting; looking=hunting; hunt=pursuit
lost=missing; missing=vanished; disappears=vanishes; disappearance=vanishing; falls=drops; fall=drop
falling=dropping; rise=ascent; rises=ascends; help=aid; helps=aids; save=rescue; saves=rescues; rescue=saving
protect=shield; care=looking after; joins=enters; join=enter; takes=seizes; take=seize; brings=carries; gives=hands
given=handed; sent=dispatched; sends=dispatches; hired=employed; hires=employs; sold=traded; buys=purchases
lose=be deprived of; loses=is deprived of; wins=gains; win=gain; learns=finds out; learn=find out; realizes=grasps
believes=thinks; suspects=distrusts; decides=makes up the mind; decide=make up the mind; refuses=declines
forced=compelled; plans=schemes; plan=scheme; planning=scheming; hide=conceal; hides=conceals; hiding=concealing
kidnapped=abducted; kidnapping=abduction; hostage=captive; torture=torment; violence=brutality; violent=brutal
revenge=vengeance; fear=dread; horror=terror; ghost=spirit; ghosts=spirits; monster=beast; vampire=bloodsucker
witch=sorceress; devil=Satan; god=deity; faith=belief; religious=devout; dream=vision; dreams=visions
memory=recollection; memories=recollections; identity=true self; reality=the actual; future=years to come
past=former days; childhood=early years; summer=warm season; winter=cold season; night=after dark; day=daytime
days=daytimes; year=twelve months; years=a long while; century=hundred years; elderly=old; aging=growing old
ageing=growing old; old=aged; older=more aged; teenage=adolescent; teenager=adolescent; teenagers=adolescents
youth=adolescents; small=little; large=big; big=large; great=grand; beautiful=lovely; handsome=good-looking
lonely=solitary; alone=solitary; mysterious=enigmatic; strange=odd; bizarre=odd; famous=renowned; secret=hidden
private=personal; dangerous=perilous; deadly=lethal; tragic=sorrowful; troubled=distressed; ill=sick; ailing=sick
illness=sickness; disease=sickness; blind=sightless; mad=insane; madness=insanity; alcoholic=drunkard; drug=narcotic
drugs=narcotics; addict=narcotics user; innocent=guiltless; guilt=remorse; guilty=culpable; corrupt=dishonest
corruption=dishonesty; greedy=grasping; ambitious=striving; powerful=mighty; power=might; political=of the state
politics=affairs of state; politician=statesman; president=head of state; king=monarch; queen=female monarch
prince=royal heir; princess=royal lady; emperor=sovereign; aristocratic=noble; aristocrat=noble; society=community
social=communal; class=rank; bourgeois=middle-class; middle-class=bourgeois; culture=customs; modern=of today
group=band; gang=band; members=participants; leader=chief; hero=champion; outlaw=bandit; outlaws=bandits
bandits=outlaws; cowboy=ranch hand; sheriff=lawman; spy=secret agent; agent=spy; scientist=researcher
astronaut=cosmonaut; space=the cosmos; alien=extraterrestrial; extraterrestrial=alien; robot=automaton
machine=device; train=locomotive; car=automobile; ship=vessel; boat=vessel; plane=aircraft; pilot=aviator
accident=mishap; crash=collision; fire=blaze; storm=tempest; gun=firearm; weapon=arms; dog=hound; horse=steed
donkey=mule; bear=grizzly; bird=winged creature; animal=creature; animals=creatures; tree=timber; human=mortal
humans=mortals; people=folk; person=individual; neighbor=person next door; neighbors=people next door
neighbours=people next door; tenants=lodgers; maid=servant; servant=domestic; boss=employer; baby=infant
pregnant=expecting; sexual=erotic; desire=longing; passion=ardour; obsession=fixation; obsessed=fixated
jealous=envious; jealousy=envy; betrayal=treachery; betrays=deceives; lies=untruths; truth=what is real
happiness=joy; happy=glad; grief=sorrow; despair=hopelessness; hope=expectation; freedom=liberty; slavery=bondage
exile=banishment; refugee=displaced person; immigrant=newcomer; immigrants=newcomers; foreign=from abroad
dinner=evening meal; party=celebration; wedding=nuptials; funeral=burial; holiday=vacation; vacation=holiday
hotel=inn; apartment=flat; room=chamber; bar=tavern; nightclub=cabaret; circus=travelling show; carnival=street fair
boxer=prizefighter; boxing=prizefighting; game=contest; race=contest; chess=board contest
baseball=bat-and-ball sport; plays=performs; tension=strain; tensions=strains; conflict=clash; rivalry=competition
competing=rival; destruction=ruin; destroyed=ruined; attack=assault; attacked=assaulted; invasion=incursion
bomb=explosive; nuclear=atomic; atomic=nuclear; experience=what is undergone; experiences=what is undergone
adventures=exploits; exploits=adventures; everyday=ordinary; daily=ordinary; new=fresh; last=final; final=last
first=earliest; several=a number of; three=a trio of; four=a quartet of; two=a pair of; seven=7
"""

PARAPHRASES: dict[str, str] = {
    word.strip(): other.strip()
    for word, _, other in (pair.partition("=") for line in _PAIRS.strip().splitlines() for pair in line.split(";"))
}

COUNTRIES = {
    "American": "the United States", "British": "the United Kingdom", "English": "the United Kingdom",
    "French": "France", "Italian": "Italy", "German": "Germany", "Japanese": "Japan", "Soviet": "the USSR",
    "Russian": "the USSR", "Swedish": "Sweden", "Danish": "Denmark", "Spanish": "Spain", "Polish": "Poland",
    "Indian": "India", "Chinese": "China", "Iranian": "Iran", "Taiwanese": "Taiwan", "Mexican": "Mexico",
    "Brazilian": "Brazil", "Hungarian": "Hungary", "Czechoslovak": "Czechoslovakia", "Canadian": "Canada",
    "Australian": "Australia", "Belgian": "Belgium", "Portuguese": "Portugal", "Austrian": "Austria",
    "Argentine": "Argentina", "Cuban": "Cuba", "Finnish": "Finland", "Greek": "Greece", "Turkish": "Turkey",
}  # fmt: skip

GENRES = {
    "comedy": "meant to make people laugh", "drama": "of a serious kind", "western": "of ranch hands and lawmen",
    "noir": "dark and fatalistic", "horror": "meant to frighten", "thriller": "full of suspense",
    "musical": "full of singing", "documentary": "without fiction", "war": "of armed conflict",
    "romance": "of the heart", "romantic": "of the heart", "crime": "of lawbreakers", "fantasy": "full of magic",
    "animated": "made of drawings", "silent": "without sound", "epic": "on a grand scale",
    "adventure": "full of daring", "satirical": "that mocks", "biographical": "of a real person",
    "gangster": "of mobsters", "fiction": "of things invented",
}  # fmt: skip
