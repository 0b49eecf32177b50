#!/usr/bin/perl

# The key of a store that two machines share is rotated, step by step, while users log in
# at both and each checks the other's sessions; what a machine says that is not as far;
# and doctor, which compares the account files of both.

use strict;
use warnings;
use blib;
use lib      qw(t/lib xt/lib);
use Author   qw(read_file);
use Database ();
use JSON::PP ();
use Machine  ();
use Run      qw(logmein);
use POSIX    ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Cpanel::LogMeIn::Session ();
use Time::HiRes              qw(sleep);

plan skip_all => $_ for Database::lacks(), Machine::lacks();

my $server   = Database->new;
my %accounts = map { ( $_ => 'secret' ) } qw(alice bob carol);
my ( $site_one, $database ) = $server->site(
    accounts => {%accounts},
    domains  => { 'a.example' => 'alice' },
    waits    => 1,
    settings => { sessions_max => 10_000 }
);

# Machine two: the files of machine one, and settings of its own.
my $site_two = Test::Cpanel::LogMeIn->new(
    accounts => {%accounts},
    domains  => { 'a.example' => 'alice' },
    waits    => 1
);
my %dir = ( one => $site_one->dir, two => $site_two->dir );
system( 'cp', '-a', "$dir{one}/site/.", "$dir{two}/site/" ) == 0 or die 'cp';
mkdir "$dir{$_}/keys", oct 700 or die "keys: $!" for qw(one two);
my %key     = map { ( $_ => "$dir{$_}/keys/key" ) } qw(one two);
my ($store) = read_file( $site_one->{conf} ) =~ /^store = (.*)$/m;
my %shared  = ( store => $store, store_alone => 'yes', sessions_max => 10_000 );
$site_one->settings( %shared, key_file => $key{one} );
$site_two->settings( %shared, key_file => $key{two} );
my %machine =
    map { ( $_->[0] => Machine->new( $_->[0], $_->[1]->conf ) ) } [ one => $site_one ],
    [ two => $site_two ];

sub bytes_of {
    my ($path) = @_;
    open my $file, '<:raw', $path or return 'none';
    local $/ = undef;
    return scalar readline $file;
}

# Copies a key to the other machine, as an operator does.
sub copy_key {
    my ( $from, $to ) = @_;
    system( 'cp', '-p', $from, $to ) == 0 or die "cp $from $to";
    return;
}

sub says {
    my ( $name, $status, $like, $why, @words ) = @_;
    my ( $got, $said ) = $machine{$name}->logmein(@words);
    is( $got, $status, "$name, @words: $why" ) or diag $said;
    return like( $said, $like, '... and says so' );
}

sub status {
    my ($name) = @_;
    my ( undef, $said ) = $machine{$name}->logmein(qw(key status --json));
    return JSON::PP::decode_json($said);
}

# The fingerprints of the keys that a machine is noted with: present, next, old.
sub noted {
    my ( $by, $name ) = @_;
    my ($of) = grep { $_->{name} eq $name } @{ status($by)->{machines} };
    return join q{ }, map { $of->{$_} // q{-} } qw(present next old);
}

sub entry_of_key {
    return $server->sql( $database,
              q{SELECT encode(value, 'hex') FROM logmein.entry WHERE id = '\x4d' || }
            . q{decode(repeat('00', 32), 'hex')} );
}

# A session of one machine, as the arguments of a check; it must be good at both.
sub session {
    my ( $at, %with ) = @_;
    my $login   = $machine{$at}->ask( 'login', %with );
    my $session = $machine{$at}->ask( redeem => map { $_ => $login->{$_} } qw(ticket token) );
    return map { $_ => $session->{$_} } qw(cookie token);
}

sub is_good_at_both {
    my ( $session, $name ) = @_;
    is(
        $machine{$_}->ask( check => @{$session} )->{reason},
        'granted granted',
        "$name is good at machine $_"
    ) for qw(one two);
    return;
}

# Both have the key of the first.
ok( $machine{one}->ask('login')->{ok}, 'machine one makes the key' );
my $refused = $machine{two}->ask('login');
ok( !$refused->{ok}, 'control: with another key machine two logs nobody in' );
like( $refused->{said}, qr/key.*(missing|not the key that the store)/, '... and says so' );
copy_key( $key{one}, $key{two} );
my @first = session('one');
is_good_at_both( \@first, 'a session' );
my ( $before, $first_entry ) = ( bytes_of( $key{one} ), entry_of_key() );

# At rest
says( 'one', 0, qr/ one .* two .*No rotation is under way/, 'at rest', qw(key status) );
my ( $one_at_rest, $two_at_rest ) = ( noted(qw(two one)), noted(qw(one two)) );
like( $one_at_rest, qr/\A[0-9a-f]{8} - -\z/, 'a machine is noted with its key' );
is( $two_at_rest, $one_at_rest, '... and the other with the same' );
says( 'one', 1, qr/there is no old key/, 'nothing to retire', qw(key retire) );

# Users, all the time: sessions of each machine are good at the other one, tickets too.
my $end = "$dir{one}/end";

sub load {
    my ( $report, $parent ) = @_;
    my ( $rounds, %bad )    = (0);
    while ( !-e $end && getppid == $parent ) {
        for my $pair ( [qw(one two bob)], [qw(two one carol)] ) {
            my ( $at, $other, $user ) = @{$pair};
            my $login = $machine{$at}->ask( login => user => $user );
            $bad{"refused at $at: $login->{said}"}++ if !$login->{ok};
            my $session =
                $machine{$other}->ask( redeem => map { $_ => $login->{$_} } qw(ticket token) );
            $bad{"lost at $other: $session->{reason}"}++ if !$session->{cookie};
            for ( 1 .. 2 ) {
                for my $name ( $at, $other ) {
                    my $reason = $machine{$name}
                        ->ask( check => map { $_ => $session->{$_} } qw(cookie token) )->{reason};
                    $bad{"at $name: $reason"}++ if $reason ne 'granted granted';
                }
            }
        }
        $rounds++;
        utime undef, undef, $report or $site_one->write_file( $report, q{} );
        $site_one->write_file( $report, "$rounds\n" . join q{}, map { "$bad{$_} $_\n" } keys %bad );
    }
    return;
}

sub begin_load {
    my ($report) = @_;
    unlink $end;
    $site_one->write_file( $report, "0\n" );
    my $parent = $$;
    my $pid    = fork // die "fork: $!";
    return $pid if $pid;
    $_->{owner} = 0 for values %machine;    # processes of its own
    eval { load( $report, $parent ); 1 } or $site_one->write_file( $report, "0\n1 $@\n" );
    delete @machine{ keys %machine };
    return POSIX::_exit(0);
}

# Rounds of the load that begin and end from now on.
sub rounds {
    my ($report) = @_;
    my ($now)    = bytes_of($report) =~ /\A([0-9]+)/;
    return $now // 0;
}

sub get_on {
    my ( $report, $many ) = @_;
    my $until = rounds($report) + $many;
    for ( 1 .. 600 ) {
        return if rounds($report) >= $until;
        sleep 0.1;
    }
    die 'the load does not get on';
}

sub end_load {
    my ( $pid, $report, $name ) = @_;
    $site_one->write_file( $end, q{} );
    waitpid $pid, 0;
    my ( $rounds, @bad ) = split /\n/, bytes_of($report);
    cmp_ok( $rounds, '>', 10, "$name: $rounds rounds" );
    return is_deeply( \@bad, [], '... and no session is lost, no login refused' );
}
my $report = "$dir{one}/report";
my $load   = begin_load($report);
get_on( $report, 3 );

# Step one
says( 'one', 0, qr/\Q$key{one}.next\E is the next key.*Copy it .* every machine/,
    'a next key', qw(key rotate) );
is( bytes_of( $key{one} ), $before, '... and the key is the same' );
my $next = bytes_of("$key{one}.next");
is( length $next, 32, '... beside it' );
isnt( $next, $before, '... another one' );
is( ( stat "$key{one}.next" )[2] & oct 777, oct 600, '... closed' );
get_on( $report, 3 );
says(
    'one', 1,
    qr/have not got .* copy it to them: two[.]/,
    'machine two is named',
    qw(key rotate)
);
is( bytes_of( $key{one} ), $before, '... and nothing has changed' );
ok( !-e "$key{one}.old", '... nothing at all' );
says(
    'two', 1,
    qr/have a next key already: copy it here as \Q$key{two}.next\E: one[.]/,
    'not another next key',
    qw(key rotate)
);
ok( !-e "$key{two}.next", '... none is made' );
is( status('one')->{step}, 'rotate', 'status: the step' );
says( 'one', 0, qr/have not got .* two[.]/, 'the state', qw(key status) );

# While it is copied
$site_two->write_file( "$key{two}.next", substr( $next, 0, 7 ), oct 600 );
get_on( $report, 3 );
says( 'one', 1, qr/two[.]/,     'half a key is none',      qw(key rotate) );
says( 'two', 3, qr/32 bytes/,   '... which is a fault',    qw(key status) );
says( 'two', 1, qr/key[.]size/, '... and found by doctor', qw(doctor) );
copy_key( "$key{one}.next", "$key{two}.next" );
get_on( $report, 8 );
my ($next_name) = noted(qw(one one)) =~ /\A\S+ (\S+) -\z/;
is(
    noted(qw(one two)),
    "$one_at_rest" =~ s/ - -/ $next_name -/r,
    'the copy is noticed by those that are running'
);
says( 'one', 0, qr/has the next key: run 'logmein key rotate' on each/, 'ready', qw(key status) );
is( entry_of_key(), $first_entry, q{the store's fingerprint is the first key's} );

# Step two, on one
my @mixed = session('two');
says( 'one', 0, qr/\Q$key{one}\E is the new key/, 'the next one', qw(key rotate) );
is( bytes_of( $key{one} ),     $next,   '... is the key' );
is( bytes_of("$key{one}.old"), $before, '... that before is the old one' );
ok( !-e "$key{one}.next", '... and there is no next one' );
my $second_entry = entry_of_key();
isnt( $second_entry, $first_entry, q{the store's fingerprint is the new key's} );
get_on( $report, 8 );
is( entry_of_key(), $second_entry, '... and stays, while machine two writes with the old key' );
is_good_at_both( \@first,            'a session from before' );
is_good_at_both( \@mixed,            'a session from between the steps' );
is_good_at_both( [ session('one') ], 'a session of the machine that has rotated' );
is_good_at_both( [ session('two') ], 'a session of the one that has not' );
says( 'one', 1, qr/before this one: 'logmein key retire' first/, 'not once more',  qw(key rotate) );
says( 'one', 1, qr/have not made it their key yet.*: two[.]/, 'not to be retired', qw(key retire) );
ok( -e "$key{one}.old", '... and the old one stays' );

# A backup, which is of the store and not of the step; no copy, which would lose the next key
says( 'two', 0, qr/backup/i, 'a backup', 'store', 'backup', "$dir{two}/backup" );
says( 'two', 3, qr/key[.]next: is to be the key soon.*end the rotation first/,
    'no copy', qw(store copy), $store, "lmdb:$dir{two}/copy" );

is( entry_of_key(), $second_entry, q{machine two opens the store, and leaves its fingerprint} );

# Waits and known sources, between the steps

# How many failures, one here and one there, it takes until the wait is eight seconds.
sub fails_until_it_waits {
    my ( $at, $other, %with ) = @_;
    my ( $failures, $seconds ) = ( 0, 0 );
    while ( $seconds < 5 ) {
        my $said = $machine{ $failures % 2 ? $other : $at }->ask( login => %with )->{said};
        ($seconds) = $said =~ /try again in ([0-9]+) seconds/;
        $failures++ if !defined $seconds;
        sleep 0.1   if defined $seconds;
        $seconds //= 0;
    }
    return $failures;
}
for my $pair ( [qw(one two mallory)], [qw(two one trent)] ) {
    my ( $at, $other, $user ) = @{$pair};
    my %with = ( user => $user, pass => 'x' );
    is( fails_until_it_waits( $at, $other, %with ),
        6, "$user waits after six failures at both machines" );
    like( $machine{$_}->ask( login => %with )->{said}, qr/Too many/, "... at $_" ) for $at, $other;
    my $cleared = $user eq 'mallory' ? $other : $at;
    says( $cleared, 0, qr/1/, 'cleared', qw(attempts clear), $user );
    unlike( $machine{$_}->ask( login => %with )->{said}, qr/Too many/, "... waits no more at $_" )
        for $at, $other;
    my $address = $at eq 'one' ? '192.0.2.1' : '192.0.2.2';
    ok( $machine{$at}->ask( login => remote_addr => $address )->{ok}, "a source of $at" );
    is_known( $_, $address ) for $at, $other;
}

sub is_known {
    my ( $name, $address ) = @_;
    my $answer = $machine{$name}->ask( is_known => user => 'alice', address => $address );
    return ok( $answer->{known}, "... is known at $name" );
}

# Step two, on the other; step three
says( 'two', 0, qr/\Q$key{two}\E is the new key/, 'the other one', qw(key rotate) );
is( bytes_of( $key{two} ), $next, '... has the same key' );
get_on( $report, 8 );
is( entry_of_key(), $second_entry, q{the store's fingerprint stays} );
is_good_at_both( \@first, 'the session from before' );
is_known( $_, '192.0.2.1' ) for qw(one two);
is( noted(qw(one two)), noted(qw(two one)), 'both are noted with the same keys' );
says(
    'one', 1,
    qr/is needed until .* by [0-9]+ tickets and cookies/,
    'what needs the old key',
    qw(key retire)
);
says( $_, 0, qr/old is removed/, 'by force', qw(key retire --force) ) for qw(one two);
get_on( $report, 8 );
end_load( $load, $report, 'a whole rotation' );
like( $machine{one}->ask( check => @first )->{reason},
    qr/unknown/, 'control: a session of the key that is retired is lost' );
is_good_at_both( [ session('two') ], 'one of the present key' );
says( 'one', 0, qr/No rotation is under way/, 'at rest again', qw(key status) );

# A machine that does not come along
$site_one->write_file( $end, q{} );
says( 'one', 0, qr/is the next key/, 'a next key',                qw(key rotate) );
says( 'one', 1, qr/: two[.]/,        'machine two is waited for', qw(key rotate) );
is(
    $server->sql(
        $database, q{SELECT count(*) FROM logmein.entry WHERE get_byte(id, 0) = ascii('H')}
    ),
    "2\n",
    'two machines have left a note'
);
my $saved = $server->sql( $database,
          q{SELECT encode(id, 'hex') || ':' || encode(value, 'hex') FROM logmein.entry }
        . q{WHERE get_byte(id, 0) = ascii('H') AND position('two'::bytea IN value) > 0} );
my ( $id, $value ) = $saved =~ /\A([0-9a-f]+):([0-9a-f]+)\n\z/;

sub set_note {
    my ( $hex, $expires ) = @_;
    $server->sql( $database,
        "UPDATE logmein.entry SET value = '\\x$hex', expires = $expires " . "WHERE id = '\\x$id'" );
    return;
}
my $later = time + 80_000;
set_note( substr( $value, 0, 50 ) . ( unpack 'H*', 'NEXT KEY' ) . substr( $value, 66 ), $later );
says( 'one', 0, qr/two \S+ \S+ another - -/, 'a note that nobody signed', qw(key status) );
says( 'one', 1, qr/: two[.]/,                '... is not believed',       qw(key rotate) );
set_note( 'ff', $later );
says( 'one', 1, qr/: [?][.]/, '... nor one of no form', qw(key rotate) );
set_note( $value, time - 5 );
says( 'one', 0, qr/is the new key/, 'a machine that was not seen for a day', qw(key rotate) );
says(
    'two', 3,
    qr/is not the key that the store was made with/,
    '... which has neither key now',
    qw(session list)
);
copy_key( $key{one}, "$key{two}.next" );
ok( $machine{two}->ask('login')->{ok}, 'control: with the key as its next one there is' );
says( 'two', 0, qr/is the new key/, '... and it comes along', qw(key rotate) );
says( $_,    0, qr/old is removed/, 'the old one goes', qw(key retire --force) ) for qw(one two);

# By force
says( 'one', 0, qr/is the next key/, 'a next key',   qw(key rotate) );
says( 'one', 1, qr/: two[.]/,        'not yet',      qw(key rotate) );
says( 'one', 0, qr/is the new key/,  'but by force', qw(key rotate --force) );
copy_key( $key{one}, "$key{two}.next" );
says( 'two', 0, qr/is the new key/, 'the other one follows', qw(key rotate) );

# Interrupted between its system calls
says( $_,    0, qr/old is removed/,  'the old one goes', qw(key retire --force) ) for qw(one two);
says( 'one', 0, qr/is the next key/, 'a next key',       qw(key rotate) );
copy_key( "$key{one}.next", "$key{two}.next" );
says( 'two', 0, qr/has the next key/, 'is on both', qw(key status) );
copy_key( $key{one}, "$key{one}.old" );
says( 'one', 0, qr/was interrupted: run 'logmein key rotate' again/, 'the middle', qw(key status) );
is_good_at_both( [ session($_) ], "... harms no session of $_" ) for qw(one two);
says( 'one', 0, qr/is the new key/, '... and goes on', qw(key rotate) );
copy_key( $key{one}, "$key{one}.next" );    # by mistake
is_good_at_both( [ session('one') ], 'a next key that is the present one' );
unlike( $machine{one}->ask( login => user => 'eve', pass => 'x' )->{said},
    qr/possible/, '... is no fault of a failed login' )
    for 1 .. 2;
says( 'two', 0, qr/is the new key/, 'the other one', qw(key rotate) );

# Doctor: the account files of both
sub differing {
    my ($name) = @_;
    my ( undef, $said ) = $machine{$name}->logmein(qw(doctor --json));
    my @found  = grep { $_->{name} eq 'site.differs' } @{ JSON::PP::decode_json($said) };
    my @places = map  { $_->{place} =~ s{\A.*/site/}{}r } @found;
    is( scalar( grep { $_->{text} =~ /\Qnot as on $name\E/ } @found ), 0, 'never itself' );
    return join q{ }, @places;
}
differing('two');
is( differing('one'), q{}, 'doctor finds nothing where the files are alike' );
my ( $status, $verbose ) = $machine{one}->logmein(qw(doctor --verbose));
like( $verbose, qr/the account files are those of two, where doctor looked/, '... and has looked' );
my $root = "$dir{two}/site";

sub change {
    my ( $file, $change ) = @_;
    my $text = -e "$root/$file" ? read_file("$root/$file") : q{};
    my $new  = $change->($text);
    isnt( $new, $text, "$file is changed" );
    open my $out, '>', "$root/$file" or die "$file: $!";
    print {$out} $new;
    close $out or die $!;
    differing('two');
    my $found = differing('one');
    open $out, '>', "$root/$file" or die "$file: $!";
    print {$out} $text;
    close $out or die $!;
    return $found;
}
for my $case (
    [ 'etc/passwd',           sub { $_[0] =~ s{:/home/alice:}{:/home/other:}r } ],
    [ 'etc/shadow',           sub { $_[0] =~ s/^(bob:[^:]*)[^:]:/$1x:/mr } ],
    [ 'etc/shadow',           sub { $_[0] =~ s/^carol:.*\n//mr } ],
    [ 'etc/userdomains',      sub { $_[0] =~ s/^(a[.]example: ).*/$1bob/mr } ],
    [ 'var/cpanel/resellers', sub { "$_[0]bob:all\n" } ],
    )
{
    my ( $file, $change ) = @{$case};
    is( change( $file, $change ), $file, '... and named' );
}
is( change( 'etc/passwd', sub { join q{}, reverse split /^/, $_[0] } ),
    q{}, '... the order of lines does not matter' );
is( change( 'etc/passwd', sub { "$_[0]daemon:x:2:2::/:/bin/false\n" } ),
    q{}, '... nor a system user' );
for my $folder (qw(suspended users)) {
    mkdir "$root/var/cpanel/$folder";
    $site_two->write_file( "$root/var/cpanel/$folder/bobby", q{} );
    differing('two');
    is( differing('one'), "var/cpanel/$folder", "a name in var/cpanel/$folder" );
    unlink "$root/var/cpanel/$folder/bobby" or die $!;
}
differing('two');
is( differing('one'), q{}, 'all is alike again' );

# The digests say nothing without the key.
my $notes = $server->sql( $database,
    q{SELECT encode(value, 'hex') FROM logmein.entry WHERE get_byte(id, 0) = ascii('H')} );
unlike( pack( 'H*', $notes =~ s/\s//gr ), qr/alice|bob|\$6\$|\$y\$/, 'a note holds no account' );

# A store on one machine has none of this.
my $alone = Test::Cpanel::LogMeIn->new;
$alone->login;
my $report_alone = JSON::PP::decode_json( logmein(qw(key status --json))->{out} );
is_deeply( [ grep { exists $report_alone->{$_} } qw(machines next_path step) ],
    [], 'no machines without a database' );
$alone->write_file( "$alone->{dir}/store/key.next", 'short', oct 644 );
ok( $alone->login, '... and no next key' );
done_testing();
