#!/usr/bin/perl

# The helper for test suites: each option, each test function, passing and failing;
# and that it removes all its files.

use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use Test::Cpanel::LogMeIn;

my $scratch = tempdir( CLEANUP => 1 );

# Returns the output of a test file, and its exit status.
sub run_test {
    my ( $code, %environment ) = @_;
    local @ENV{ keys %environment } = values %environment;
    my $file = "$scratch/test.pl";
    open my $out, '>', $file or die $!;
    print {$out} "use strict; use warnings; use Test::More; use Test::Cpanel::LogMeIn;\n$code";
    close $out or die $!;
    my $said = `$^X -Mblib $file 2>&1`;
    return ( $said, $? >> 8 );
}

# Login, session and end of an account.
my $site = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice                => 'secret',
        bob                  => { password => 'secret', suspended  => 1 },
        carol                => { password => 'secret', expired    => 1 },
        dave                 => { password => 'secret', locked     => 1 },
        erin                 => { password => 'secret', reseller   => 1 },
        frank                => { password => 'secret', not_cpanel => 1 },
        gina                 => { hash     => Test::Cpanel::LogMeIn::hash_of('hashed') },
        root                 => 'root-secret',
        'info@alice.example' => 'mail',
        'x@shop.example'     => 'mail',
    },
    domains   => { 'shop.example' => 'erin' },
    resellers => ['alice'],
    settings  => { session_idle => 60 },
    clock     => 1_700_000_000,
);
my ( $url, $token ) = login_ok( { user => 'alice' }, 'alice' );
like( $url, qr{\Ahttps://localhost:2083\Q$token\E/}, '... with URL and token' );
my $session = url_redeems_ok( $url, '... which opens' );
session_ok( $session, '... a session' );
$site->clock( 1_700_000_000 + 60 );
session_ended_ok( $session, '... that ends by the limit that was set' );
login_fails( { user => $_ }, "$_ is refused" ) for qw(bob carol dave frank nobody);
login_ok( { user => 'gina', pass => 'hashed' }, 'an account by its hash' );

for my $login (
    { user => 'erin',               service => 'whm' },
    { user => 'alice',              service => 'whm' },
    { user => 'root',               service => 'whm',     pass => 'root-secret' },
    { user => 'info@alice.example', service => 'webmail', pass => 'mail' },
    { user => 'x@shop.example',     service => 'webmail', pass => 'mail' },
    )
{
    $session = url_redeems_ok( scalar login_ok( $login, "$login->{user} at $login->{service}" ),
        '... by a URL whose port tells the service' );
    is( $session->{service}, $login->{service}, '... which it is' );
}
login_fails_like( { user => '' }, qr/'user' is missing/, 'a message is matched' );
login_fails( { pass => 'wrong' }, 'failures are forgotten' ) for 1 .. 6;

# Changes.
$site->account( bob => 'secret' );
login_ok( { user => 'bob' }, 'an account is changed' );
$site->account( bob => undef );
login_fails( { user => 'bob' }, '... and removed' );
$site->settings( 'port.cpanel' => 443 );
like( scalar login_ok( {}, 'a setting' ), qr{:443/}, '... lasts' );
url_redeems_ok( scalar login_ok( {}, 'another port' ), '... and its URL is understood' );
$site->settings( 'port.cpanel' => undef );
like( $site->log_text, qr/SUCCESS LOGIN/, 'the log can be read' );

# Faults.
my %code = ( 'store-full' => 'STOREFULL', 'store-away' => 'STORE' );
for my $fault ( sort keys %code ) {
    $site->fault($fault);
    login_fails_like( {}, qr/\ALogins are not possible at the moment \($code{$fault}\)[.]\z/,
        $fault );
}
$site->fault('slow');
my $started = time;
login_ok( {}, 'a slow login is a good one' );
cmp_ok( time - $started, '>=', 1, '... but slow' );
$site->fault(undef);
login_ok( {}, 'control: without a fault' );

# Waits, if they are switched on.
{
    my $waiting = Test::Cpanel::LogMeIn->new( waits => 1 );
    login_fails( { pass => 'wrong' }, 'a failure' ) for 1 .. 3;
    login_fails_like( {}, qr/Too many failed logins/, '... is followed by a wait' );
}

# CGI.
my $script = "$scratch/script.pl";
$site->write_file( $script, <<'PERL' );
use strict;
use warnings;
my $body = do { local $/; <STDIN> };
print STDERR "to the log\n";
print "Status: 404 Not Found\r\nX-Two: a\r\nX-Two: b\r\nContent-Type: text/plain\r\n\r\n";
print join "|", $body, map { $ENV{$_} // '-' } qw(REQUEST_METHOD QUERY_STRING CONTENT_LENGTH REMOTE_ADDR EXTRA HOME);
PERL
my $answer = run_cgi(
    $script,
    form  => { a     => 'b c', 'd&' => "\x{e9}\x{263a}" },
    query => { q     => '1' },
    env   => { EXTRA => 'more' }
);
is( $answer->{status}, 404, 'a CGI script: status' );
is_deeply( $answer->{headers}{'x-two'}, [qw(a b)], '... headers' );
is( $answer->{error}, "to the log\n", '... what it logs' );
is(
    $answer->{body},
    'a=b%20c&d%26=%C3%A9%E2%98%BA|POST|q=1|28|192.0.2.1|more|-',
    '... body and environment'
);
is( run_cgi($script)->{body}, '|GET||-|192.0.2.1|-|-', '... without a form' );
$site->write_file( $script, "exit 3;\n" );
is( run_cgi($script)->{exit} >> 8, 3, '... that fails' );

# What a web server answers with 500
for my $case (
    [ 'dies',      qq{print "Status: 200 OK\\r\\n\\r\\nfine"; die "oh\\n";\n},      qr/\Aoh\n\z/ ],
    [ 'is killed', qq{\$| = 1; print "A: b\\r\\n\\r\\nfine"; kill KILL => \$\$;\n}, qr/\A\z/ ],
    [ 'says nothing',       "exit 0;\n",                                   qr/\A\z/ ],
    [ 'has no head',        qq{print "<p>Hello</p>\\n\\n";\n},             qr/\A\z/ ],
    [ 'has half a head',    qq{print "Content-Type: text/plain\\r\\n";\n}, qr/\A\z/ ],
    [ 'can\'t be compiled', "use strict; \$x = 1;\n",                      qr/Global symbol/ ],
    )
{
    my ( $what, $code, $error ) = @{$case};
    $site->write_file( $script, $code );
    $answer = run_cgi($script);
    is( $answer->{status}, 500, "a script that $what: status 500" );
    like( $answer->{error}, $error, '... and what it logs' );
}
$answer = run_cgi("$scratch/nowhere.cgi");
is( $answer->{status}, 500, 'a script that is not there: status 500' );
like( $answer->{error}, qr{/nowhere[.]cgi}, '... and its name' );
$site->write_file( $script, "#!/nowhere/perl\n", oct 755 );
$answer = run_cgi($script);
is( $answer->{status}, 500, 'a script without its interpreter: status 500' );
like( $answer->{error}, qr{\Q$script\E: No such file}, '... and why' );
$site->write_file( $script, qq{print "Content-Type: text/plain\\n\\n";\n} );
is( run_cgi($script)->{status}, 200, 'control: an empty page' );

# One that logs in and prints a Location, as the documented script does.
$site->write_file( $script, <<'PERL' );
use Cpanel::LogMeIn;
my ( $ok, $message, $url ) = Cpanel::LogMeIn::get_loggedin_url(
    user => 'bob', pass => 'secret', hostname => 'localhost', service => 'cpanel' );
print $ok ? "Location: $url\r\n\r\n" : "Content-type: text/plain\r\n\r\nLOGIN FAILED: $message\n";
PERL
$site->account( bob => 'secret' );
$answer = run_cgi($script);
is( $answer->{status}, 302, 'a CGI script that prints only Location is a redirect' );
session_ok( url_redeems_ok( $answer->{headers}{location}[0], '... to a URL that opens' ),
    '... a session' );
$site->account( bob => 'another' );
$answer = run_cgi($script);
is( $answer->{status}, 200, '... and a page if the login is refused' );
is( $answer->{body},   "LOGIN FAILED: The login is invalid.\n", '... with the message' );

# Failing test functions.
my ( $said, $status ) = run_test(<<'PERL');
my $site = Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret' } );
login_ok( { pass => 'wrong' }, 'one' );
login_fails( {}, 'two' );
login_fails_like( { pass => 'wrong' }, qr/unicorn/, 'three' );
login_fails_like( {}, qr/Login OK/, 'four' );
url_redeems_ok( 'https://localhost:2083/cpsess0123456789/?session=lmt_x', 'five' );
url_redeems_ok( undef, 'six' );
url_redeems_ok( 'https://panel.example:2083/cpsess0123456789/login/?session=alice%3axyz', 'nine' );
session_ok( {}, 'seven' );
my $session = url_redeems_ok( scalar login_ok( {}, 'fine' ), 'fine, too' );
session_ended_ok( $session, 'eight' );
done_testing();
PERL
is( $status, 9, 'nine tests that must fail do' ) or diag($said);
like( $said, qr/^not ok \d+ - $_$/m, "... $_" )
    for qw(one two three four five six seven eight nine);
like( $said, qr/Failed test 'one'\n#   at \Q$scratch\E\/test[.]pl line 3/, '... and are found' );
like( $said, qr/no site of this test has made the URL/, '... or that they can\'t know' );
like( $said, qr/the password is wrong/,                 '... with the reason' );

# Wrong arguments.
for my $case (
    [ [ colour => 1 ],                   qr/Unknown option 'colour'/ ],
    [ ['accounts'],                      qr/pairs of a name and a value/ ],
    [ [ accounts => 'alice' ],           qr/'accounts' must be a hash/ ],
    [ [ resellers => 'alice' ],          qr/'resellers' must be a list/ ],
    [ [ settings => { colour => 1 } ],   qr/The setting 'colour = 1' names an unknown key/ ],
    [ [ settings => { hsts => 'yes' } ], qr/The setting 'hsts = yes' must be no, or a number/ ],
    [
        [ settings => { log => "none\nhsts = 1" } ],
        qr/The setting 'log' must be a string of one line/
    ],
    [ [ settings => { domains => [] } ], qr/The setting 'domains' must be a string of one line/ ],
    [ [ clock    => 'noon' ],            qr/The setting 'test_clock = noon' must be a time/ ],
    [ [ clock    => -1 ],                qr/The setting 'test_clock = -1' must be a time/ ],
    [ [ fault    => 'fire' ],            qr/The setting 'test_fault = fire' must be one of/ ],
    [ [ accounts => { alice => { size => 1 } } ], qr/Unknown key 'size'/ ],
    [ [ accounts => { alice => [] } ],            qr/'alice' must be a password or a hash/ ],
    [ [ accounts => { alice => {} } ],            qr/'alice' has no password/ ],
    [
        [ accounts => { a => 1, b => 1, 'x@y.example' => 1 } ],
        qr/owner of y[.]example is not known/
    ],
    )
{
    my ( $given, $why ) = @{$case};
    ok( !eval { Test::Cpanel::LogMeIn->new( @{$given} ) }, 'an exception' );
    like( $@, qr/$why.* at \Q$0\E line/, "... says why: $why" );
}

ok( !eval { run_cgi( 'x', form => {}, colour => 1 ) }, 'an exception of run_cgi' );
like( $@, qr/Unknown option 'colour' at \Q$0\E line/, '... names the option' );

# Refused settings change nothing.
{
    my $kept = Test::Cpanel::LogMeIn->new( settings => { page_title => 'Kept' } );
    my $log  = $kept->log_text;
    for my $call (
        sub { $kept->settings( page_title => 'New', session_idle => 5 ) },
        sub { $kept->clock('soon') },
        sub { $kept->fault('flood') }
        )
    {
        ok( !eval { $call->(); 1 }, 'a bad value is an exception' );
        like( $@, qr/\AThe setting '\w+ = \w+' must .* at \Q$0\E line/, '... where it is given' );
        is( { Cpanel::LogMeIn::settings() }->{page_title}, 'Kept', '... and nothing changes' );
    }
    login_ok( {}, 'logins go on' );
    is( scalar( () = $kept->log_text =~ /TEST/g ), 0, '... and no log tells of it' );
    $kept->settings( store => undef, log => undef );
    login_ok( {}, 'what is undefined has the default of the site' );
    ok( -e $kept->dir . '/store/data.mdb', '... not of the machine' );
}

# No login leaves the machine.
{
    my $local = Test::Cpanel::LogMeIn->new;
    my ( $ok, undef, $own ) = $local->login( hostname => 'portal.invalid' );
    ok( $ok, 'a login for a portal\'s name is checked here' ) or diag($Cpanel::LogMeIn::detail);
    like( $own, qr{\Ahttps://portal[.]invalid:2083/}, '... with that name in its URL' );
    url_redeems_ok( $own, '... which opens' );
    $local->settings( backend => 'auto', remote_hosts => 'none.invalid' );
    unlike( ( $local->login( hostname => 'portal.invalid' ) )[1],
        qr/Login OK/, 'control: it leaves if that is asked for' );
}

# The site is removed when the object is destroyed, and when the test ends, dies, or
# forks.
my $dir = Test::Cpanel::LogMeIn->new->dir;
ok( !-e $dir,      'a destroyed site is removed' );
ok( -e $site->dir, '... and no other' );
my $leaves = q{my $site = Test::Cpanel::LogMeIn->new; };
for my $end (
    [ 'ends',  'pass(1); done_testing();' ],
    [ 'dies',  'die "oh\n";' ],
    [ 'exits', 'exit 1;' ],
    [
        'forks',
        'if ( !( my $p = fork ) ) { exit } wait; die "gone\n" if !-e $site->dir; pass(1); done_testing();'
    ],
    )
{
    my ( $how, $code ) = @{$end};
    my $tmp = tempdir( CLEANUP => 1 );
    ( $said, $status ) = run_test( $leaves . $code, TMPDIR => $tmp );
    is_deeply( [ glob "$tmp/*" ], [], "a test that $how leaves nothing" ) or diag($said);
    unlike( $said, qr/gone/, '... and removes nothing' );
}
SKIP: {
    skip 'there is no other disk', 1 if !-w '/dev/shm';
    ( $said, $status ) = run_test(
        'my $site = Test::Cpanel::LogMeIn->new; login_ok( {}, "on another disk" ); done_testing();',
        TMPDIR => '/dev/shm'
    );
    is( $status, 0, 'the temporary folder may be on another disk' ) or diag($said);
}
{
    local $ENV{LOGMEIN_CONF} = '/before';
    my $inner = Test::Cpanel::LogMeIn->new;
    is( $ENV{LOGMEIN_CONF}, $inner->conf, 'LOGMEIN_CONF names the settings' );
    undef $inner;
    is( $ENV{LOGMEIN_CONF}, '/before', '... and what it named before' );
}

done_testing();
