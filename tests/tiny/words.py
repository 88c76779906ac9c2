"""The vocabulary of the tiny tokenizers: common English words for scenes, subjects, materials and photographs."""

_TEXT = """
a about above abstract across aerial after again against airplane airport alien all almost along also always am
amber amid among an ancient and angel angle angry animal anime anxious any apple apron are arm armor around art
artist as astronaut at atop autumn baby back background backlit backpack bad bag balcony ball balloon banana bar
barn baroque basket bathroom be beach bear beard beautiful because bed bedroom bee been beer before behind beige
being below belt bench beneath beside best between beyond bicycle big bike bikini bird birthday black blanket
block blue blur blurry boat body bokeh book bookshelf boot boots both bottle bottom bow bowl box boy branch
brass bread brick bridge bright broken bronze brother brown brush bucket build building bunch burger burn
burning bus bush but butterfly by cabinet cactus cafe cake calm camera can candle candy canoe canvas canyon cap
cape car card cardboard carpet carrot carry carrying cartoon castle cat catch catching cave ceiling center
centered centre ceramic chain chair chandelier chase chasing checkered cheese chef cherry chicken child
chocolate christmas church cinema city class clay clean clear cliff climb climbing clock close closed closeup
cloth cloud cloudy clown coast coat coffee coin cold collar color colorful colour colourful come comic common
computer concrete cook cookie cooking cool copper corgi corn corner costume cotton couch could covered cow
cowboy crate cream crimson crosswalk crown crystal cubist cup curly curtain cute cyberpunk daisy dance dancer
dancing dark dawn day deep deer denim desert desk detail detailed detective diagonal diamond dice did different
dinosaur dirty dish do doctor does dog doll done door dotted double down dragon drawer drawing drawn dress
dresser drink drinking drive driving drum dry duck during dusk dust each ear earring earth eat eating edge egg
eight elephant embroidery empty end engine engineer evening every exposure expression eye eyes fabric face fake
fall falling family famous fancy fangs fantasy far farm farmer fast father feet felt fence festival few field
fight fighting figure figurine filled film fine finger fire firefighter fireman fish fisherman fishing five flag
flash flat float floating floor flower flowers fluffy fly flying focus fog foggy food foot for foreground forest
fork four fox frame free fridge friend frightened frog from front fruit full funny fur furry fuzzy galaxy game
garage garden gate gentleman get ghost giant gift girl give glacier glass glasses glossy glove gloves glow
glowing go goat gold golden good gothic gown graffiti granite grape grass gray great green grey group grow
growing guitar had hair hairy half hammer hand hang hanging happy harbour hard has hat have having he head heavy
helicopter helmet her here hero herself hide hiding high hill him himself his hold holding holiday home honey
hoodie horse hospital hot hotel hound house how hug huge hugging hunter i ice if illustration image
impressionist in ink insect inside into iron is island it its itself ivory jacket jade jar jeans juice jump
jumping jungle just key keyboard kimono kind king kiss kissing kitchen kite kitten knife knight knitted lace
lady lake lamp landscape lantern laptop large lay laying leaf lean leaning leash least leather leaves left leg
lego lemon less letter library lie life light lighting lightning like lime linen lion little lock log long look
looking looks loud low lower lying macro made magazine magic make man many marble market maroon mars mask mat
matte may me meadow meat melt melting messy metal middle midnight might milk mine minimalist mirror misty modern
money monkey monochrome monster moon more morning mosaic moss most mother motorcycle mountain mouse mouth much
mud mug museum mushroom music musician must my nail name narrow natural navy near neck necklace neon never new
newspaper next night nine ninja no none noon nor nose not now number nurse object ocean of off office officer
often oil old olive on one onion only onto open opening opposite or orange origami our out outfit outside oven
over overhead owl paint painted painter painting pair palace pale palm pan pants paper parade park part party
past pasta pastel path pattern pavement paw peach pear pebble pen pencil penguin people per perfect person pet
phone photo photograph photography piano picture pie piece pig pile pillow pilot pink pirate pixel pizza placed
plain plane planet plant plastic plate play playground playing plush polaroid police pond poodle pool pop
porcelain porch portrait posing poster pot potato present pretty prince princess print professional puddle pull
pulling pumpkin puppet puppy purple push put puzzle quality queen quiet quite rabbit radio rain rainbow rainy
rare read reading real realistic red reflection render rendering resolution rest restaurant resting ribbon rice
ride riding right ring river road robe robot rock rocket roof rooftop room rope rose rough round row royal
rubber rug run running rural rustic sad sail sailing sailor salad same samurai sand sandwich santa scarf scarlet
scene school scientist scooter screen screw sculpture sea season see seeing seen selfie sepia set seven several
shadow shall shallow shape sharp she sheep sheet shelf shine shining shiny ship shirt shoe shoes shop short
shorts shot should shoulder show showing side sidewalk sign silhouette silk silver simple since sing singer
singing single sink sister sit sits sitting six size skateboard sketch ski skiing skin skirt sky skyline
skyscraper sleep sleeping sleepy slightly slow small smile smiling smoke smooth snake snapshot snow snowy so
sock socks sofa soft soldier some sort soup space spaceship spoon spotted spring square stadium stage stairs
stand standing stands star stars station statue steampunk steel still stone stool store storm stormy stove
strawberry stream street striped stripes strong student studio stuffed style subject subway sugar suit summer
sun sunflower sunglasses sunny sunrise sunset superhero surf surfing surprised surrounded sweater swim swimming
table tablecloth tail take taken tall tame tan taxi tea teacher teal teddy teeth telephone television temple ten
terrace terrier texture than that the theatre their them then there these they thick thin thing this those three
through throughout throw throwing tie tiger time tiny tired to today tomato too tool tooth top touch touching
tousled toward towards tower town toy trail train tree trees tripod tropical trousers truck trumpet tub tulip
turquoise turtle two type umbrella under underneath unicorn uniform universe until up upon upper upright urban
us use valley van vase velvet very vest via view village vintage violet violin vivid volcano wait waiting walk
walking wall warm was wash washing watch watching water watercolor watercolour waterfall watermelon wave wavy
wax we weak wear wearing wedding were wet what wheel when where which while whiskers white who whole why wide
wild will wind window windowsill windy wine winter witch with within without wizard wolf woman wood wooden woods
wool word world worn would write writing yacht yard year yellow yet you young your yours zoom
"""

WORDS: tuple[str, ...] = tuple(_TEXT.split())
