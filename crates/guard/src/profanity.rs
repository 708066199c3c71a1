//! The managed list PROFANITY: common English profanity, a list of our own making. It is not AWS' list, which is not published.

pub(crate) const PROFANITY: &str = "arse arsehole arseholes ass asses asshat asshats asshole assholes bastard bastards bitch bitches bitching bitchy \
bollocks bugger bullshit bullshitting clusterfuck cock cocks cocksucker cocksuckers cocksucking crap crappy cunt cunts damn dammit dick dickhead \
dickheads dicks dipshit dipshits douche douchebag douchebags dumbass dumbasses fuck fucked fucker fuckers fuckface fucking fucks fuckup fuckwit goddamn \
goddamned goddamnit horseshit jackass jackasses jerkoff motherfucker motherfuckers motherfucking piss pissed pisses pissing prick pricks pussies pussy \
shat shit shitfaced shithead shitheads shithole shits shitshow shitting shitty slut sluts slutty smartass tits titties tosser tossers twat twats wank \
wanker wankers wanking whore whores";
