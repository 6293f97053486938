// Package operator is the model behind the three detectors of operators: who changes permissions, who changes passwords, who
// switches trails off, and whether that is like them. A detector is a [Config] and its manual; a [Machine] does the work.
//
// # Words
//
// The operator is the principal of an event together with its type. Its group is the path of a user; a role is an operator by
// itself, whoever takes it. An operator-day is a day on which an operator did something of the class, however often:
// everything is counted in operator-days, so that five hundred attachments of one run of an infrastructure tool count once.
//
// # Model
//
// Everybody's rows feed a profile of each principal: decayed active days, and the networks, programs, hours and ways to sign
// in that it was seen with. Operator-days feed one table per account of the item sets (op), (grp), (act), (svc), (op,svc),
// (op,act), (grp,act), (op,tgt), (act,tgt), with a half-life of 60 days. A class event of operator o scores
//
//	S = who + net + program + hour + auth + target          in nats, each but the first at most 5
//
// For an operator who never did anything of the class, who = max(-ln h, -ln q): h = (F+3)/(A+3/h0) is how often a principal-day
// without a past in the class sees a first time, by type of principal and apart for those who change themselves, h0 being the
// shipped hazard times 1 + 150/(3+D)^2 in an account of D days, whose operators are all new at first; q is below.
//
// For others who = -ln(q · n/(N+1)), n of N operator-days at the narrowest of act, service and class at which o is known, and
// q = min (0.75·F_k+1)/(N_k+1) over the narrower ones: the mass that Pitman and Yor leave to somebody new.
//
// A network, program, hour or way to sign in that the operator was not seen with before today costs -ln(k/(n+1)), k values in n
// active days, and -ln of the share of the other principals that know it; if none does, of (K+1)/(A+1), the account's news.
//
// p is the share of operator-days with such a score: the account's own histogram with an exponential tail, mixed with fifty
// shipped days of exponential scores. An event alarms when p is below budget · min(cap, B/N30), N30 operator-days of 30 days.
// The root of an account always alarms. What the operator or its group did on three days of the last ninety never does, if
// network and program are usual: that is a habit. In the class of trails everybody is new until then.
//
// # Life of an insight
//
// Its key is operator and service, per region. It starts with the event that alarms, in the order of arrival, collects all
// further ones of operator and service, and ends at the minute after the last of them, when an hour without one has been
// closed by the watermark; after a day; when the trail is switched on again; or with a bounded input.
package operator

// ModelVersion names the constants of this package; it stands in every finding.
const ModelVersion = "operator-1"
