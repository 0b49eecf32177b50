#!/usr/bin/perl

# Mutants of the fronts' configuration: a test notices each fault in a line that
# decides. Those of the gateway's code are in xt/long/mutants.list.

use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use lib 'xt/lib';
use Author qw(has_program read_file run);

for my $program (qw(apache2 nginx)) {
    plan skip_all => "$program is not installed" if !has_program($program);
}

# For each file and test: what goes wrong, the text, and what replaces it.
my %MUTANTS = (
    'Caddyfile' => {
        front => [
            [ 'all is allowed',            '@allowed status 204', '@allowed status 2xx 4xx' ],
            [ 'the check is for browsers', 'handle /logmein/*',   'handle /nowhere/*' ],
            [ 'the token stays',           'uri path_regexp',     '# uri' ],
            [ 'a browser names its user',  'request_header X-R',  '# request_header X-R' ],
            [ 'two slashes are no token',  '~^/(/cpsess',         '~^/none(/cpsess' ],
            [ 'tickets are logged',        'request>uri regexp',  'request>uri_ regexp' ],
        ],
    },
    'apache.conf' => {
        service =>
            [ [ 'the client chooses the port', '-Port  $port', '-Port expr=%{SERVER_PORT}' ], ],
        front => [
            [
                'the client writes the address',
                'set X-Forwarded-For ',
                'setifempty X-Forwarded-For '
            ],
            [
                'clear text is said to be TLS',
                'set X-Forwarded-Proto',
                'setifempty X-Forwarded-Proto'
            ],
            [
                'Connection hides what the front says',
                'RequestHeader set Connection close',
                'RequestHeader setifempty Connection close'
            ],
            [ 'the check is for browsers',              'ProxyPass /logmein/ !', q{} ],
            [ 'paths are decoded',                      'nocanon ',              q{} ],
            [ 'Apache tells of a gateway that is down', 'ErrorDocument 503',     '#' ],
        ],
        logs => [
            [ 'queries of logins are logged',  '!~ m#/login/?$#', '!~ m#/nowhere/?$#' ],
            [ 'tickets of queries are logged', '/session|lmt_|',  '/session|' ],
            [ 'passwords are logged',          '|pass|%/i',       '|%/i' ],
            [ 'encoded names are logged',      '|pass|%/i',       '|pass/i' ],
            [ 'tickets of paths are logged', '=~ m#^(.*?)${logmein_ticket}#i', '=~ m#^(nothing)#' ],
            [ 'encoded tickets are logged',  '(?:l|%(?:25)*6c)',               'l' ],
            [ 'tickets are logged that are encoded twice', '(?:_|%(?:25)*5f)', '(?:_|%5f)' ],
            [ 'referrers are logged',                      ' ErrorLogFormat',  '# ErrorLogFormat' ],
            [ 'invalid requests are logged',               'core:crit',        'core:error' ],
            [ 'paths that fail are logged',                'proxy:crit',       'proxy:error' ],
        ],
        ciphers => [
            [ 'there is no forward secrecy', ' SSLCipherSuite',           '# SSLCipherSuite' ],
            [ 'there are tickets of TLS',    'SSLSessionTickets     off', q{} ],
        ],
        'long/slow' => [
            [
                'slow clients are not ended',
                ' RequestReadTimeout handshake',
                '# RequestReadTimeout handshake'
            ]
        ],
    },
    'nginx.conf' => {
        front => [
            [ 'nothing is checked',        'auth_request /logmein/check;', q{} ],
            [ 'the check is for browsers', "internal;\n",                  "\n" ],
            [ 'refusals are unavailable',  '400 405 411',                  '405 411' ],
            [
                'bodies are waited for',
                "proxy_request_buffering off;\n    proxy_http_version      1.1;",
                q{proxy_http_version 1.1;}
            ],
            [ 'clear text at a TLS port is refused', 'error_page 497 = @gateway;', q{} ],
            [ 'an upload is too long',               '64m',                        '64k' ],
        ],
        logs => [
            [
                'queries of logins are logged', '(?<login>[^?]*/login/?)',
                '(?<login>[^?]*/nowhere/?)'
            ],
            [ 'tickets of queries are logged', '(?:session|lmt_|',  '(?:session|' ],
            [ 'passwords are logged',          '|pass|%))',         '|%))' ],
            [ 'encoded names are logged',      '|pass|%))',         '|pass))' ],
            [ 'tickets of paths are logged',   '(?<before>[^?]*?)', '(?<before>[^?/]*?)' ],
            [ 'encoded tickets are logged',    '(?:l|%(?:25)*6c)',  'l' ],
            [ 'tickets are logged that are encoded twice', '(?:_|%(?:25)*5f)', '(?:_|%5f)' ],
            [
                'errors tell whole requests',
                "    location \@gateway",
                "    error_log /var/log/nginx/logmein.error.log error;\n    location \@gateway"
            ],
        ],
        masked => [
            (
                map {
                    [
                        "the app believes the client's $_",
                        qr/proxy_set_header \Q$_\E +""/,
                        'proxy_set_header X-None ""'
                    ]
                } qw(Forwarded Proxy Remote-User X-Forwarded-User X-Real-IP)
            ),
            [
                'names with underscores reach the app',
                'underscores_in_headers off',
                'underscores_in_headers on'
            ],
        ],
        ciphers => [
            [ 'there is no forward secrecy', ' ssl_ciphers',            '# ssl_ciphers' ],
            [ 'there are tickets of TLS',    'ssl_session_tickets off', 'ssl_session_tickets on' ],
        ],
        websocket => [
            [ 'no WebSocket is opened',    'websocket upgrade;',         'websocket "";' ],
            [ 'any protocol is passed on', '"~*^websocket$" websocket;', 'default $http_upgrade;' ],
        ],
        'long/slow' => [
            [
                'slow clients are not ended',
                "client_header_timeout 10s;\n    client_body_timeout   10s;\n    send",
                'send'
            ]
        ],
    },
);

for my $file ( sort keys %MUTANTS ) {
    my $text = read_file("examples/$file");
    for my $test ( sort keys %{ $MUTANTS{$file} } ) {
        for my $mutant ( @{ $MUTANTS{$file}{$test} } ) {
            my ( $name, $old, $new ) = @{$mutant};
            my $folder  = tempdir( CLEANUP => 1 );
            my $pattern = ref $old ? $old : quotemeta $old;
            my $changed = $text =~ s/$pattern/$new/r;
            isnt( $changed, $text, "$file: $name" ) or next;
            run( '.', "cp examples/*.conf examples/Caddyfile $folder" );
            open my $out, '>', "$folder/$file" or die "$folder: $!";
            print {$out} $changed;
            close $out or die "$folder: $!";
            my ( $status, $said ) =
                run( '.', "LOGMEIN_EXAMPLES=$folder LOGMEIN_LOGINS=40 prove -b xt/$test.t" );
            isnt( $status, 0, "... is noticed by xt/$test.t" );
        }
    }
}
done_testing();
