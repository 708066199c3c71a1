//! Given names that are rarely anything else. A short list of our own making: it raises the precision of `NAME`, its recall stays low.

pub(crate) const GIVEN_NAMES: &str = "aaron abdul abigail adam adrian ahmed aisha alan alejandro alex alexander alexandra ali alice alicia alison \
amanda amy ana anastasia andrea andreas andrew angela anita ann anna anne annie anthony antonio arthur ashley barbara beatrice benjamin bernard \
bob brandon brenda brian bruce bryan camille carl carla carlos carmen carol caroline catherine charles charlotte chloe chris christian christina \
christine christopher cindy claire clara claudia clement cynthia daniel daniela david deborah denise dennis diana diane diego dmitri donald donna \
doris dorothy douglas edward elena elizabeth ella emily emma enrique eric erik erika ernest esther ethan eugene eva evelyn fatima felix fernando \
florian frances francesca francesco francisco frank fred frederick gabriel gabriela gary george gerald gerard giovanni giulia gloria gregory guillaume \
hannah hans harold harry hassan heather helen helena henry hiroshi howard hugo ian ibrahim igor ines ingrid irene isaac isabel isabella ivan jack \
jacob jacqueline jake james jamie jan jane janet jason javier jean jeffrey jennifer jeremy jessica jesus jim joan joanna joel johan johanna johannes john \
jonathan jorge jose joseph joshua juan judith julia julian juliana julie justin karen karl katherine kathleen kathryn katie keith kelly kenneth \
kevin kimberly klaus kyle larry lars laura lauren laurent lawrence leah leon leonardo leo lena liam linda lisa louis louise lucas lucia luis lukas \
luke manuel marcus margaret maria marie marilyn mario marion mark marko marta martha martin martina mary matteo matthew maximilian megan mei melissa \
michael michelle miguel mike mohamed mohammed monica monika muhammad nancy natalie natasha nathan nicholas nicole nikolai nina noah nora olga oliver \
olivia omar oscar pablo pamela patricia patrick paul paula pauline pedro peter philip philippe pierre priya rachel rafael rahul ralph raymond rebecca \
ricardo richard robert roberto roger roland ronald rosa roy russell ruth ryan sabine samantha samuel sandra sanjay sara sarah scott sean sebastian \
sergei sharon shirley simon sofia sophia sophie stefan stefanie stephanie stephen steve steven stuart susan suzanne sven tanya teresa theodore \
theresa thomas tiffany timothy tom tyler ursula valentina valerie vanessa vera veronica victoria vincent virginia vladimir walter wei wendy wilhelm \
william wolfgang xavier yasmin yolanda yuki yusuf yves zachary zoe";
