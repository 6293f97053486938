package schemas

// A Class is a kind of sensitive operation: one of those that the three insight types about operators look at.
type Class uint8

// The classes.
const (
	PolicyClass   Class = iota // changes who may do what
	PasswordClass              // changes how somebody signs in
	TrailClass                 // switches logging off, or narrows it
	classes
)

// String returns the name of the class, as the catalogue and explanations have it.
func (c Class) String() string {
	if c >= classes {
		return "unknown"
	}
	return [classes]string{"policy", "password", "trail"}[c]
}

// A Tier says how surely an operation is of a class. Core and adjacent operations count; indirect ones, which reach the same
// goal through another service, only support what the others say.
type Tier uint8

// The tiers, weakest first.
const (
	NoTier Tier = iota
	IndirectTier
	AdjacentTier
	CoreTier
)

// String returns the name of the tier, as the catalogue has it.
func (t Tier) String() string {
	if t > CoreTier {
		return "unknown"
	}
	return [...]string{"none", "indirect", "adjacent", "core"}[t]
}

// Sensitive holds the tier of an operation in every class, and whether it switches logging on again. The zero value is what
// most operations are.
type Sensitive uint8

// RestoresTrail marks the operations that switch logging on again, which ends a concealment.
const RestoresTrail Sensitive = 1 << (2 * classes)

const maxSensitive = RestoresTrail<<1 - 1

// With returns s with the tier of one class set.
func (s Sensitive) With(c Class, t Tier) Sensitive {
	return s&^(3<<(2*c)) | Sensitive(t&3)<<(2*c)
}

// Tier returns the tier of the operation in a class.
func (s Sensitive) Tier(c Class) Tier { return Tier(s>>(2*c)) & 3 }

// Counts reports whether the operation counts as one of the class: whether it is core or adjacent.
func (s Sensitive) Counts(c Class) bool { return s.Tier(c) >= AdjacentTier }

// Auth says how the caller had signed in.
type Auth uint8

// The ways to sign in. UnknownAuth is for records that do not say.
const (
	UnknownAuth    Auth = iota
	KeyAuth             // a long-lived access key
	TemporaryAuth       // temporary credentials, as those of a role
	ConsoleAuth         // the console, without a second factor or without saying so
	ConsoleMFAAuth      // the console, with a second factor
	auths
)

// String returns words for people.
func (a Auth) String() string {
	if a >= auths {
		return "unknown"
	}
	return [auths]string{"unknown", "an access key", "temporary credentials", "the console", "the console with MFA"}[a]
}

// A Target says whom or what a sensitive operation changes, as far as the request tells.
type Target uint8

// The targets. UnknownTarget is also that of operations that are not sensitive.
const (
	UnknownTarget  Target = iota
	OtherTarget           // somebody or something else
	SelfTarget            // the caller
	WildcardTarget        // a policy that is open to everybody, or allows everything
	AdminTarget           // a policy that makes an administrator
	RootTarget            // the account's root
	targets
)

// String returns words for people.
func (t Target) String() string {
	if t >= targets {
		return "unknown"
	}
	return [targets]string{"unknown", "another identity", "the caller itself", "a policy open to everything",
		"an administrator's policy", "the root of the account"}[t]
}

// Traits are what a row says of an event beyond its names: how sensitive the operation is, whom it changes, how the caller
// had signed in.
type Traits struct {
	Sensitive Sensitive
	Target    Target
	Auth      Auth
}

// pack returns the traits as a number that is one byte long on the wire for everything that is not sensitive: Auth in the
// lowest three bits, then three bits of Target, then Sensitive.
func (t Traits) pack() uint64 {
	return uint64(t.Auth&7) | uint64(t.Target&7)<<3 | uint64(t.Sensitive&maxSensitive)<<6
}

func (r *reader) traits() Traits {
	v := r.max(uint64(maxSensitive)<<6 | 63)
	return Traits{Auth: Auth(v & 7), Target: Target(v >> 3 & 7), Sensitive: Sensitive(v >> 6)}
}
