#!/usr/bin/perl

# `logmein config`: where each value comes from, and all that is wrong in a file.

use strict;
use warnings;
use Cpanel::LogMeIn::Session ();
use JSON::PP                 ();
use Test::Cpanel::LogMeIn    ();
use Test::More;
use lib 't/lib';
use Run qw(logmein);

my $site   = Test::Cpanel::LogMeIn->new;
my $conf   = "$site->{dir}/other.conf";
my @config = ( '--config', $conf );

sub conf { my ($text) = @_; return $site->write_file( $conf, $text, oct 600 ) }

sub decoded {
    my (@arguments) = @_;
    return JSON::PP::decode_json( logmein( 'config', @arguments, '--json' )->{out} );
}

conf( <<"CONF" );
# a comment
site_root = $site->{dir}

  session_idle =  600
port.whm = 3087
remote_proxy = socks5h://name:s3cr3t\@proxy.example:1080
page_title = Caf\xc3\xa9 \xc2\xabA\xc2\xbb
CONF
my $answer = logmein( qw(config show), @config );
is( $answer->{status}, 0,   'show' );
is( $answer->{err},    q{}, '... without a message' );
like( $answer->{out}, qr/\AKEY +VALUE +FROM\n/,                   '... a table' );
like( $answer->{out}, qr/^session_idle +600 +\Q$conf\E line 4$/m, '... the line of a value' );
like( $answer->{out}, qr/^port[.]whm +3087 +\Q$conf\E line 5$/m,  '... of a port' );
like( $answer->{out}, qr/^session_max +86400 +default$/m,         '... a default' );
like( $answer->{out}, qr/^ticket_life +600 +default$/m,           '... one that follows another' );
like( $answer->{out}, qr{^remote_proxy +socks5h://[*]{3}\@proxy.example:1080 }m,
    '... no password' );
unlike( $answer->{out}, qr/s3cr3t|name:/, '... really' );
my $all = decoded( 'show', @config );
local $ENV{LOGMEIN_CONF} = $conf;
my %settings = Cpanel::LogMeIn::Session->new->settings;
is_deeply( [ sort map { $_->{key} } @{$all} ], [ sort keys %settings ], 'in JSON: every key' );

for my $row ( grep { $_->{key} !~ /\A(?:remote_proxy|page_title)\z/ } @{$all} ) {
    is( $row->{value}, $settings{ $row->{key} }, "... $row->{key}: the value in force" );
}
is_deeply(
    decoded( 'show', 'session_idle', 'domains', @config ),
    [
        { key => 'session_idle', value => '600', file => $conf, line => 4 },
        { key => 'domains',      value => q{},   file => undef, line => undef },
    ],
    '... those that are named, in their order'
);
is( decoded( 'show', 'page_title', @config )->[0]{value}, "Caf\x{e9} \x{ab}A\x{bb}", '... UTF-8' );
unlike( logmein( qw(config show --json), @config )->{out}, qr/s3cr3t/, '... no password' );
for my $proxy ( 'u:s3cr3t@h:1', 'http://u:s3@cr3t@h', 'http://s3cr3t@h', 'u:s3/cr3t@h' ) {
    conf("site_root = $site->{dir}\nremote_proxy = $proxy\n");
    my $shown = decoded( 'show', 'remote_proxy', @config )->[0]{value};
    like( $shown, qr{\A(?:http://)?[*]{3}\@h(?::1)?\z}, "... nor in another form: $shown" );
}

# Check: every error, with its place.
sub errors_of {
    my ($text) = @_;
    conf($text);
    my $check  = logmein( qw(config check), $conf );
    my $errors = decoded( 'check', $conf );
    is( $check->{status},                      @{$errors} ? 1 : 0, 'check: status' );
    is( $check->{err},                         q{},                '... on standard output' );
    is( scalar( () = $check->{out} =~ /\n/g ), scalar @{$errors},  '... a line each' );
    unlike( $check->{out}, qr/[\x00-\x09\x0b-\x1f\x7f]/, '... without control characters' );
    is( $_->{file}, $conf, '... the file' ) for @{$errors};
    return [ map { [ @{$_}{qw(line key text)} ] } @{$errors} ];
}
is_deeply( errors_of("session_idle = 60\n"), [], 'a good file' );
is_deeply( errors_of(q{}),                   [], 'an empty one' );
my $number = 'must be a number within its bounds';
for my $case (
    [ "foo\n"                => [ 1, undef,          'is not of the form key = value' ] ],
    [ "\n\nfoo = 1\n"        => [ 3, undef,          'names an unknown key' ] ],
    [ "store = x\n"          => [ 1, 'store',        'must be lmdb:/FOLDER or postgresql://...' ] ],
    [ "session_idle = 59\n"  => [ 1, 'session_idle', $number ] ],
    [ "session_idle = 1e3\n" => [ 1, 'session_idle', $number ] ],
    [ "session_idle =\n"     => [ 1, 'session_idle', $number ] ],
    [ "port.cpanel = 0\n"    => [ 1, 'port.cpanel',  $number ] ],
    [ "log = syslog\nlog = syslog\n" => [ 2, 'log', 'is there twice' ] ],
    [ "log = file:x\n" => [ 1, 'log', 'must be syslog, file, file:/PATH, stderr or none' ] ],
    [ "site_hostnames = true\n" => [ 1, 'site_hostnames', 'must be yes or no' ] ],
    [ "domains = a\x01b\n"      => [ 1, undef,            'holds a control byte' ] ],
    [ "backend = \e[31m\n"      => [ 1, undef,            'holds a control byte' ] ],
    [ "site_root = x\n"    => [ 1, 'site_root', 'must be an absolute path of at most 255 bytes' ] ],
    [ "hsts = maybe\n"     => [ 1, 'hsts',      'must be no, or a number within its bounds' ] ],
    [ "accounts = unset\n" => [ 1, 'accounts', 'must be one of the words that the manual lists' ] ],
    [
        "test_fault = slow\n" => [
            undef, undef,
            'test_clock and test_fault are for test sites only (take them out, or set site_root)'
        ]
    ],
    )
{
    is_deeply( errors_of( $case->[0] ), [ $case->[1] ], '... what is wrong' );
}
is_deeply(
    [ map { $_->[0] } @{ errors_of("store = x\nfoo\nlog = none\nhsts = x\nlog = none\n") } ],
    [ 1, 2, 4, 5 ],
    'all errors of a file'
);
is( scalar @{ errors_of( "foo\n" x 100 ) }, 32, '... at most 32' );
conf('x');
chmod oct 666, $conf;
like( decoded( 'check', $conf )->[0]{text}, qr/can be changed by group or others/, 'an open file' );
is( logmein( qw(config check), $conf )->{status}, 1, '... is an error' );

# Bad input
for my $case (
    [ 2, qr/'config' needs a word/,  'config' ],
    [ 2, qr/Unknown word 'set'/,     qw(config set) ],
    [ 2, qr/Missing argument: FILE/, qw(config check) ],
    [ 2, qr/Unexpected argument/,    qw(config check a b) ],
    [ 2, qr/Unknown option/,         qw(config show --file x) ],
    [ 2, qr/requires an argument/,   qw(config show --config) ],
    [ 1, qr/no setting 'stores'/,    qw(config show stores), '--config', $site->{conf} ],
    [ 1, qr/no setting 'STORE'/,     qw(config show STORE),  '--config', $site->{conf} ],
    [ 1, qr/no setting ''/,          qw(config show),        q{}, '--config', $site->{conf} ],
    [ 3, qr/No such file/,           qw(config check /none) ],
    [ 3, qr/No such file/,           qw(config check), q{} ],
    [ 3, qr/is missing/,             qw(config show --config /none) ],
    [ 3, qr/group or others/,        qw(config show --config), $conf ],
    )
{
    my ( $status, $like, @arguments ) = @{$case};
    my $refused = logmein(@arguments);
    is( $refused->{status}, $status, "'@arguments': status $status" );
    like( $refused->{err}, $like, '... a sentence' );
    is( $refused->{out}, q{}, '... nothing else' );
}
done_testing();
